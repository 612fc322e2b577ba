//! Unknown options list the valid ones.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

#[raft_service]
impl Counter {
    #[command(after = 2)]
    fn add(&mut self, by: u64) {
        self.value += by;
    }

    #[query(nondeterministic = "no")]
    fn get(&self) -> u64 {
        self.value
    }

    #[command(nondeterministic = "")]
    fn empty(&mut self) {}

    #[command = "x"]
    fn form(&mut self) {}
}

fn main() {}
