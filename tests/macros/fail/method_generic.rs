//! The log holds concrete types.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

#[raft_service]
impl Counter {
    fn add<T: Into<u64>>(&mut self, by: T) {
        self.value += by.into();
    }

    fn pick<'a>(&'a self, one: &'a str) -> &'a str {
        one
    }
}

fn main() {}
