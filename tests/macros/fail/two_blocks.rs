//! The operations stand in one block.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

#[raft_service]
impl Counter {
    fn get(&self) -> u64 {
        self.value
    }
}

#[raft_service]
impl Counter {
    fn set(&mut self, to: u64) {
        self.value = to;
    }
}

fn main() {}
