//! A context of somebody else.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

struct Context;

#[raft_service]
impl Counter {
    fn add(&mut self, context: &mut Context) -> u64 {
        let _ = context;
        self.value
    }
}

fn main() {}
