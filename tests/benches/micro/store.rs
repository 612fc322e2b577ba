//! The service that is measured, and its calls.

use braft::collections::Map;
use braft::testing::bench::encode;
use braft::{Service, raft_service};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Bytes of the value in one command.
pub(crate) const VALUE_BYTES: usize = 256;
/// From one key that is written to the next: they lie apart, as a client's do.
const STRIDE: u64 = 7919;
/// Commands in one entry, or calls in one frame: one, a few, and as many as under load.
pub(crate) const BATCHES: [usize; 3] = [1, 8, 64];

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Store {
    values: Map<u64, String>,
}

#[raft_service]
impl Store {
    pub(crate) fn put(&mut self, key: u64, value: &str) -> u64 {
        self.values.insert(key, value.to_owned());
        self.values.len() as u64
    }

    pub(crate) fn get(&self, key: u64) -> Option<&str> {
        self.values.get(&key).map(String::as_str)
    }
}

pub(crate) type Command = <Store as Service>::Command;
pub(crate) type Query = <Store as Service>::Query;

pub(crate) fn value() -> String {
    "v".repeat(VALUE_BYTES)
}

/// The key of the n-th call, of so many.
pub(crate) fn key(n: u64, entries: u64) -> u64 {
    n.wrapping_mul(STRIDE) % entries
}

pub(crate) fn put(key: u64) -> Bytes {
    let value = value();
    encode(&Command::put { key, value }).into()
}

pub(crate) fn get(key: u64) -> Bytes {
    encode(&Query::get { key }).into()
}
