//! What a snapshot does not keep, behind an alias.

use braft::raft_service;
use serde::{Deserialize, Serialize};

type Maybe<T> = Option<T>;

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Store {
    twice: Maybe<Maybe<u64>>,
}

fn main() {}
