//! An operation is one step.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

#[raft_service]
impl Counter {
    async fn add(&mut self, by: u64) {
        self.value += by;
    }
}

fn main() {}
