//! A caller on another machine can uphold nothing.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

#[raft_service]
impl Counter {
    unsafe fn add(&mut self, by: u64) {
        self.value += by;
    }

    extern "C" fn get(&self) -> u64 {
        self.value
    }
}

fn main() {}
