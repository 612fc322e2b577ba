//! `#[arg(generate = path)]` takes the path of a function that makes the argument.

use braft::{Rng, raft_service};
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Refused {
    value: u64,
}

#[raft_service]
impl Refused {
    fn text(&mut self, #[arg(generate = "number")] by: u64) {}
    fn bare(&mut self, #[arg(generate)] by: u64) {}
    fn call(&mut self, #[arg(generate = number())] by: u64) {}
}

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Mismatched {
    value: u64,
}

fn text(_: &mut Rng) -> String {
    String::new()
}

#[raft_service]
impl Mismatched {
    fn add(&mut self, #[arg(generate = text)] by: u64) {
        self.value += by;
    }
}

fn main() {}
