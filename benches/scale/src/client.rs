//! Clients of the two services, as the load sees them.

use braft::{Client as _, ReadLevel};
use load::{Read, Target};

use crate::node::{KeptClient, PlainClient};

/// A service under load, and its growth.
pub(crate) trait Held: Target {
    /// What holds the values.
    const WHAT: &'static str;

    async fn connect(addresses: Vec<String>) -> Result<Self, String>;

    async fn grow(&self, first: u64, count: u64, bytes: usize) -> Result<(), String>;

    async fn len(&self) -> Result<u64, String>;
}

#[derive(Clone)]
pub(crate) struct InMap(KeptClient);

#[derive(Clone)]
pub(crate) struct InPlain(PlainClient);

/// The two differ in the type of their client alone.
macro_rules! held {
    ($name:ident, $client:ident, $what:literal) => {
        impl Target for $name {
            async fn put(&self, key: &str, value: &str) -> Result<(), String> {
                let put = self.0.put(key, value).await;
                put.map_err(|error| error.to_string())
            }

            async fn get(&self, key: &str, read: Read) -> Result<Option<usize>, String> {
                let got = self.0.get(key).read(level(read)).await;
                got.map(|value| value.map(|value| value.len()))
                    .map_err(|error| error.to_string())
            }
        }

        impl Held for $name {
            const WHAT: &'static str = $what;

            async fn connect(addresses: Vec<String>) -> Result<Self, String> {
                let client = $client::connect(addresses).await;
                client.map($name).map_err(|error| error.to_string())
            }

            async fn grow(&self, first: u64, count: u64, bytes: usize) -> Result<(), String> {
                let grown = self.0.grow(first, count, bytes).await;
                grown.map_err(|error| error.to_string())
            }

            async fn len(&self) -> Result<u64, String> {
                self.0.len().await.map_err(|error| error.to_string())
            }
        }
    };
}

held!(InMap, KeptClient, "braft::collections::Map");
held!(InPlain, PlainClient, "BTreeMap");

fn level(read: Read) -> ReadLevel {
    match read {
        Read::Linearizable => ReadLevel::Linearizable,
        Read::Lease => ReadLevel::Lease,
        Read::Local => ReadLevel::Local,
    }
}
