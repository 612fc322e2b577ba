//! What a snapshot does not keep.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Store {
    twice: Option<Option<u64>>,
    flags: Vec<Option<()>>,
}

fn main() {}
