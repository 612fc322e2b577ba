//! What comes with a version says so in a way that older nodes get along with.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service(version = 2)]
#[derive(Default, Serialize, Deserialize)]
struct Store {
    #[field(since = 3)]
    late: u64,
}

#[raft_service]
impl Store {
    #[command(since = 3)]
    fn late(&mut self) {}

    #[command(removed = 4)]
    fn gone(&mut self) {}

    fn add(&mut self, #[arg(since = 3)] note: Option<String>) {}
}

#[raft_service(version = 0, migrate = old)]
#[derive(Default, Serialize, Deserialize)]
struct Never;

#[raft_service(migrate = old)]
#[derive(Default, Serialize, Deserialize)]
struct Other {
    #[field(until = 2)]
    value: u64,
}

#[raft_service(version = 2)]
impl Other {
    fn add(&mut self, #[arg(since = 2)] by: u64, #[arg(old = "x")] note: Option<String>) {}

    #[command(since = "two")]
    fn text(&mut self) {}
}

fn main() {}
