//! An event is data, and a service that names none emits none.

use braft::{Client, Context, raft_service};
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

struct Added;

#[raft_service]
impl Counter {
    fn add(&mut self, context: &mut Context<Added>) {
        self.value += 1;
        context.emit(Added);
    }
}

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Silent {
    value: u64,
}

#[raft_service]
impl Silent {
    fn add(&mut self, context: &mut Context) {
        self.value += context.log_position().index;
    }
}

fn subscribe(silent: &SilentClient) {
    drop(silent.events());
}

fn main() {}
