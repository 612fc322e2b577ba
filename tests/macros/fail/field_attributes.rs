//! What a snapshot leaves out, always or in some builds.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Store {
    #[serde(skip)]
    cache: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    list: Vec<u64>,
    #[cfg(unix)]
    sometimes: u64,
}

fn main() {}
