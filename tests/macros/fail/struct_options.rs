//! Unknown options list the valid ones.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service(edition = 2, name = "my store")]
#[derive(Default, Serialize, Deserialize)]
struct Store;

#[raft_service(name = "store")]
impl Store {}

#[raft_service(nme = "other", crate = "braft")]
#[derive(Default, Serialize, Deserialize)]
struct Other;

fn main() {}
