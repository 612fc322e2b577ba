//! Arguments travel owned, the state stays.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

#[raft_service]
impl Counter {
    fn get(&'static self) -> u64 {
        self.value
    }

    fn name(&mut self, name: &'static str, names: &[&str]) -> usize {
        name.len() + names.len()
    }

    fn shared(&self, text: std::borrow::Cow<'_, str>) -> usize {
        text.len()
    }
}

fn main() {}
