//! The state stays with the replica.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

#[raft_service]
impl Counter {
    fn take(self) -> u64 {
        self.value
    }

    fn boxed(self: Box<Self>) -> u64 {
        self.value
    }
}

fn main() {}
