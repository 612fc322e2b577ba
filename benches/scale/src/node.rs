//! The node: two services that hold values, one of them in a map of `braft::collections`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use braft::collections::Map;
use braft::{Config, raft_service};
use serde::{Deserialize, Serialize};

/// The two differ in their map alone.
macro_rules! held {
    ($(#[$what:meta])* $name:ident, $map:ty) => {
        $(#[$what])*
        #[raft_service]
        #[derive(Default, Serialize, Deserialize)]
        pub(crate) struct $name {
            values: $map,
        }

        #[raft_service]
        impl $name {
            /// Writes a value.
            pub(crate) fn put(&mut self, key: &str, value: &str) {
                self.values.insert(key.to_owned(), value.to_owned());
            }

            /// The value of a key.
            pub(crate) fn get(&self, key: &str) -> Option<&str> {
                self.values.get(key).map(String::as_str)
            }

            /// Writes many values of a length, to keys by number.
            pub(crate) fn grow(&mut self, first: u64, count: u64, bytes: usize) {
                self.values.extend(made(first, count, bytes));
            }

            /// How many values there are.
            pub(crate) fn len(&self) -> u64 {
                self.values.len() as u64
            }
        }
    };
}

held!(
    /// Values in a map that a snapshot freezes in no time.
    Kept,
    Map<String, String>
);

held!(
    /// Values in a map of the standard library, which commands have to wait for while it is written.
    Plain,
    BTreeMap<String, String>
);

fn made(first: u64, count: u64, bytes: usize) -> impl Iterator<Item = (String, String)> {
    (first..first + count).map(move |number| (format!("held-{number:012}"), "v".repeat(bytes)))
}

/// Runs a node that the environment describes, until it is told to stop.
pub(crate) async fn run() -> Result<ExitCode, braft::Error> {
    let config = Config::from_env()?.service::<Kept>().service::<Plain>();
    braft::run(config).await
}
