//! All replicas have the same commands.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

#[raft_service]
impl Counter {
    #[cfg(unix)]
    fn add(&mut self, by: u64, #[cfg(unix)] again: u64) {
        self.value += by + again;
    }
}

fn main() {}
