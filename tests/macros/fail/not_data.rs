//! Only data travels.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

#[raft_service]
impl Counter {
    fn call(&mut self, with: fn(u64) -> u64, text: &dyn std::fmt::Display, at: *const u8) {
        let _ = (with, text, at);
    }
}

fn main() {}
