//! A state without operations is no service.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

fn client() -> CounterClient {
    braft::testing::loopback::<Counter>()
}

fn other() {
    braft::testing::loopback::<u64>();
}

fn main() {}
