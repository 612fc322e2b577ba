//! The log and snapshots hold one concrete type.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Pair<T> {
    value: T,
}

#[raft_service]
impl<T: Copy> Pair<T> {
    fn set(&mut self, to: T) -> T {
        std::mem::replace(&mut self.value, to)
    }
}

async fn call(pair: PairClient) -> Result<u64, braft::Error> {
    pair.set(7u64).await
}

fn main() {}
