//! Neither struct nor impl block.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
fn add(to: &mut u64) {
    *to += 1;
}

#[derive(Serialize, Deserialize)]
struct Used;

fn main() {}
