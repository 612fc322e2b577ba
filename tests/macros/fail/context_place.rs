//! The context comes first, and a query only reads it.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

use braft::Context;

#[raft_service]
impl Counter {
    fn add(&mut self, by: u64, context: &mut Context) -> u64 {
        by + context.log_position().index
    }

    fn later(&self, by: u64, context: &Context) -> u64 {
        by + context.log_position().index
    }

    fn get(&self, context: &mut Context) -> u64 {
        context.log_position().index
    }
}

fn main() {}
