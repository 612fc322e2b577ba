//! What MessagePack cannot tell apart.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

#[raft_service]
impl Counter {
    fn set(&mut self, to: Option<Option<u64>>, all: Vec<Option<()>>) -> Option<Option<u64>> {
        let _ = all;
        to
    }
}

fn main() {}
