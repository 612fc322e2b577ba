//! What a state needs.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
struct Counter {
    value: u64,
}

#[raft_service]
impl Counter {
    fn get(&self) -> u64 {
        self.value
    }
}

#[derive(Serialize, Deserialize)]
struct Used;

fn main() {}
