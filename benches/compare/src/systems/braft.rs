//! braft: this program, as a node.

use std::path::Path;

use ::braft::{Client as _, ReadLevel};
use load::{Figures, LoadArgs, Nodes, Read, Target};
use tokio::process::Command;

use super::{Found, System, put_under_load};
use crate::cluster::{NODES, Place};
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
struct Connection(StoreClient);

impl Target for Connection {
    async fn put(&self, key: &str, value: &str) -> Result<(), String> {
        let put = self.0.put(key, value).await;
        put.map_err(|error| error.to_string())
    }

    async fn get(&self, key: &str, read: Read) -> Result<Option<usize>, String> {
        let level = match read {
            Read::Linearizable => ReadLevel::Linearizable,
            Read::Local => ReadLevel::Local,
        };
        let got = self.0.get(key).read(level).await;
        got.map(|value| value.map(|value| value.len()))
            .map_err(|error| error.to_string())
    }
}

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

pub(super) async fn measure(args: &LoadArgs, below: &Path) -> Result<Vec<Figures>, String> {
    let place = Place::new(below).map_err(|error| error.to_string())?;
    let started = place.start(node);
    let mut cluster = started.map_err(|error| format!("braft: {error}"))?;
    for node in 0..NODES {
        let http = cluster.place().address(node, HTTP_PORT);
        let ready = || async { load::get(&http, "/readyz").await.ok() };
        cluster.wait("a node of braft to serve", ready).await?;
    }
    let mut targets = Vec::new();
    for _ in 0..args.connections {
        let client = StoreClient::connect(cluster.place().addresses(RAFT_PORT)).await;
        targets.push(Connection(client.map_err(|error| error.to_string())?));
    }
    let nodes = Nodes::new(Some(cluster.place().address(0, HTTP_PORT)));
    let sample = async || nodes.sample().await;
    let measured = put_under_load(args, System::Braft, &targets, sample).await;
    cluster.end().await;
    measured
}
