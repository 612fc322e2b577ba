//! One service has one event type.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

use braft::Context;

struct Added;

#[raft_service]
impl Counter {
    fn add(&mut self, context: &mut Context<Added>) -> u64 {
        context.log_position().index
    }

    fn get(&self, context: &Context) -> u64 {
        context.log_position().index
    }
}

fn main() {}
