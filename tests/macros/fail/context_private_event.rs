//! Whoever can see the service can see its events.

use braft::{Context, raft_service};
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Counter {
    value: u64,
}

struct Added;

#[raft_service]
impl Counter {
    fn add(&mut self, context: &mut Context<Added>) -> u64 {
        self.value += context.log_position().index;
        self.value
    }
}

fn main() {}
