//! Attributes that do not fit the method.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

#[raft_service]
impl Counter {
    #[query]
    fn add(&mut self, by: u64) {
        self.value += by;
    }

    #[command(name = "read")]
    fn get(&self) -> u64 {
        self.value
    }

    #[local]
    #[command]
    fn both(&mut self) {}

    #[command]
    fn make() -> Self {
        Self::default()
    }
}

fn main() {}
