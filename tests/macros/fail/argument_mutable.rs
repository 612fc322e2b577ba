//! Changes to an argument do not come back.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

#[raft_service]
impl Counter {
    fn drain(&mut self, from: &mut Vec<u64>) {
        self.value += from.drain(..).sum::<u64>();
    }
}

fn main() {}
