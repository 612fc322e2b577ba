//! The log and the client need concrete types.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

#[raft_service]
impl Counter {
    fn add(&mut self, by: impl Into<u64>) {
        self.value += by.into();
    }

    fn digits(&self) -> impl Iterator<Item = u64> {
        std::iter::once(self.value)
    }
}

fn main() {}
