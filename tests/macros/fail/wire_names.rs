//! Two operations with one name on the wire.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

#[raft_service]
impl Counter {
    fn add(&mut self, by: u64) {
        self.value += by;
    }

    #[command(name = "add")]
    fn increase(&mut self, by: u64) {
        self.value += by;
    }

    #[query(name = "get")]
    fn read(&self) -> u64 {
        self.value
    }

    fn get(&self) -> u64 {
        self.value
    }
}

fn main() {}
