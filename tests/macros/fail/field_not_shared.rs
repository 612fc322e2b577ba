//! What threads cannot share, without a name that says so.

use std::marker::PhantomData;
use std::rc::Rc;

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Store {
    value: u64,
    owner: PhantomData<Rc<u64>>,
}

fn main() {}
