//! The program of the README.

use braft::raft_service;
use braft::testing::loopback;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Counter {
    value: u64,
}

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

    pub fn get(&self) -> u64 {
        self.value
    }
}

#[tokio::test]
async fn answers_as_the_methods_do() -> Result<(), braft::Error> {
    let counter = loopback::<Counter>();
    assert_eq!(counter.add(2).await?, Ok(2));
    assert_eq!(counter.add(u64::MAX).await?, Err(Overflow));
    assert_eq!(counter.get().local().await?, 2);
    Ok(())
}
