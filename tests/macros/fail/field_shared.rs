//! What a query could change.

use braft::raft_service;
use serde::{Deserialize, Serialize};

use std::sync::{Mutex, RwLock, atomic::AtomicU64};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Store {
    mutex: Mutex<u64>,
    lock: Vec<RwLock<u64>>,
    count: AtomicU64,
}

fn main() {}
