//! What MessagePack cannot tell apart, behind an alias.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

type Maybe<T> = Option<T>;

#[raft_service]
impl Counter {
    fn set(&mut self, to: Maybe<Maybe<u64>>) -> u64 {
        self.value = to.flatten().unwrap_or_default();
        self.value
    }

    fn get(&self) -> Vec<Maybe<()>> {
        Vec::new()
    }
}

fn main() {}
