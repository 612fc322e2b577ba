//! Iterating over the argument would differ between replicas.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

use std::collections::HashMap;

#[raft_service]
impl Counter {
    fn add(&mut self, all: Vec<HashMap<String, u64>>) {
        self.value += all.len() as u64;
    }

    /// One node alone answers a query.
    fn get(&self) -> HashMap<String, u64> {
        HashMap::new()
    }
}

fn main() {}
