//! Arguments have names.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

#[raft_service]
impl Counter {
    fn add(&mut self, (one, two): (u64, u64), _: u64) {
        self.value += one + two;
    }
}

fn main() {}
