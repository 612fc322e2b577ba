//! The smallest service.

use braft::raft_service;
use serde::{Deserialize, Serialize};

/// A number that grows.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Counter {
    value: u64,
}

/// The sum does not fit.
#[derive(Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[error("counter would overflow")]
pub struct Overflow;

#[raft_service]
impl Counter {
    /// Adds `by` and returns the new total.
    pub fn add(&mut self, by: u64) -> Result<u64, Overflow> {
        self.value = self.value.checked_add(by).ok_or(Overflow)?;
        Ok(self.value)
    }

    /// The total.
    pub fn get(&self) -> u64 {
        self.value
    }
}
