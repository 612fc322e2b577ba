//! The operations of a struct without the attribute.

use braft::raft_service;
use serde::{Deserialize, Serialize};

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

fn main() {}
