//! braft: this program, as a node.

use ::braft::{Client as _, ReadLevel};
use load::{NodeSample, Nodes, Read, Target};
use serde::Deserialize;
use tokio::process::Command;

use super::{Found, Store, System};
use crate::cluster::{Cluster, NODES, Place};
use crate::store::StoreClient;

const RAFT_PORT: u16 = 15_000;
const HTTP_PORT: u16 = 15_002;

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

    fn node(place: &Place, node: usize) -> std::io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("node")
            .env("BRAFT_IP", place.ip(node).to_string())
            .env("BRAFT_RPORT", RAFT_PORT.to_string())
            .env("BRAFT_HPORT", HTTP_PORT.to_string())
            .env("BRAFT_DISCOVERY", place.addresses(RAFT_PORT).join(","))
            .env("BRAFT_EXPECT", NODES.to_string())
            .env("BRAFT_CLUSTER", "compare")
            .env("BRAFT_DATA_DIR", place.data_dir(node)?)
            .env("NO_COLOR", "1");
        Ok(command)
    }

    async fn serves(place: &Place, node: usize) -> bool {
        load::get(&place.address(node, HTTP_PORT), "/readyz")
            .await
            .is_ok()
    }

    async fn leader(place: &Place) -> Option<usize> {
        for node in 0..NODES {
            let asked = load::get(&place.address(node, HTTP_PORT), "/raft").await;
            let overview = asked.ok().and_then(|body| serde_json::from_str(&body).ok());
            if let Some(leader) = overview.and_then(|overview: Overview| overview.leader()) {
                return (0..NODES).find(|node| place.address(*node, RAFT_PORT) == leader);
            }
        }
        None
    }

    /// Knows all addresses, and finds the leader by itself.
    async fn connect(place: &Place, _: usize) -> Result<Connection, String> {
        let client = StoreClient::connect(place.addresses(RAFT_PORT)).await;
        client.map(Connection).map_err(|error| error.to_string())
    }

    async fn sample(cluster: &Cluster) -> Vec<NodeSample> {
        let http = cluster.place().address(0, HTTP_PORT);
        Nodes::new(Some(http)).sample().await
    }
}

/// What is read of what a node says about all.
#[derive(Deserialize)]
struct Overview {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    address: String,
    role: String,
}

impl Overview {
    fn leader(self) -> Option<String> {
        let mut nodes = self.nodes.into_iter();
        let leader = nodes.find(|node| node.status.role == "leader");
        leader.map(|leader| leader.status.address)
    }
}
