//! What a query could change, in one thread.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Store {
    cell: std::cell::RefCell<u64>,
}

fn main() {}
