//! Order differs between replicas, also behind an alias and inside another type.

use braft::raft_service;
use serde::{Deserialize, Serialize};

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, DefaultHasher};

type Index<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Store {
    plain: HashMap<String, u64>,
    nested: Vec<Option<std::collections::HashSet<u64>>>,
    seeded: Index<String, u64>,
    set: HashSet<u64>,
}

fn main() {}
