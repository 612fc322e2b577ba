//! The node of braft: a map from text to text, with the operations of the other stores.

use std::process::ExitCode;

use braft::collections::Map;
use braft::{Config, raft_service};
use serde::{Deserialize, Serialize};

/// A map from text to text.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Store {
    values: Map<String, String>,
}

#[raft_service]
impl Store {
    /// Writes a value.
    pub(crate) fn put(&mut self, key: &str, value: &str) {
        self.values.insert(key.to_owned(), value.to_owned());
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }
}

/// Runs a node that the environment describes, until it is told to stop.
pub(crate) async fn run() -> Result<ExitCode, braft::Error> {
    braft::run(Config::from_env()?.service::<Store>()).await
}
