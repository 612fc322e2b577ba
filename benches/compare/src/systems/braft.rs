//! braft: this program, as a node.

use std::io;

use ::braft::{Client as _, ReadLevel};
use load::braft::RAFT_PORT;
use load::{Cluster, NodeSample, Place, Read, Target};
use tokio::process::Command;

use super::{Found, Store, System};
use crate::store::StoreClient;

pub(super) fn found() -> Found {
    Found {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        differs: "every write is on the disks of a majority when it is acknowledged; each command \
                  runs once however often it is sent; a map in memory; default settings",
    }
}

#[derive(Clone)]
pub(super) struct Connection(StoreClient);

impl Target for Connection {
    async fn put(&self, key: &str, value: &str) -> Result<(), String> {
        let put = self.0.put(key, value).await;
        put.map_err(|error| error.to_string())
    }

    async fn get(&self, key: &str, read: Read) -> Result<Option<usize>, String> {
        let level = match read {
            Read::Linearizable => ReadLevel::Linearizable,
            Read::Lease => ReadLevel::Lease,
            Read::Local => ReadLevel::Local,
        };
        let got = self.0.get(key).read(level).await;
        got.map(|value| value.map(|value| value.len()))
            .map_err(|error| error.to_string())
    }
}

pub(super) struct Braft;

impl Store for Braft {
    type Connection = Connection;
    const SYSTEM: System = System::Braft;

    fn node(place: &Place, node: usize) -> io::Result<Command> {
        load::braft::node(place, node)
    }

    async fn serves(place: &Place, node: usize) -> bool {
        load::braft::serves(place, node).await
    }

    async fn leader(place: &Place) -> Option<usize> {
        load::braft::leader(place).await
    }

    /// Knows all addresses, and finds the leader by itself.
    async fn connect(place: &Place, _: usize) -> Result<Connection, String> {
        let client = StoreClient::connect(place.addresses(RAFT_PORT)).await;
        client.map(Connection).map_err(|error| error.to_string())
    }

    async fn sample(cluster: &Cluster) -> Vec<NodeSample> {
        load::braft::sample(cluster).await
    }
}
