//! What arguments and answers need.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

struct Item;

struct Failed;

#[raft_service]
impl Counter {
    fn put(&mut self, item: Item) -> Result<(), Failed> {
        let _ = item;
        Err(Failed)
    }
}

fn main() {}
