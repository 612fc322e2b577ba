//! Operations stand in the type's own impl block.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

trait Add {
    fn add(&mut self, by: u64);
}

#[raft_service]
impl Add for Counter {
    fn add(&mut self, by: u64) {
        self.value += by;
    }
}

fn main() {}
