//! Nodes of braft, as processes of one cluster.

use std::io;

use tokio::process::Command;

use crate::cluster::{Cluster, Place};
use crate::overview::{Nodes, get};
use crate::run::NodeSample;

/// Where a node is called.
pub const RAFT_PORT: u16 = 15_000;
/// Where a node tells of itself.
pub const HTTP_PORT: u16 = 15_002;

/// This program as a node: its first argument is `node`, the rest is in the environment.
///
/// # Errors
/// If this program cannot be found, or its directory cannot be made.
pub fn node(place: &Place, node: usize) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("node")
        .env("BRAFT_IP", place.ip(node).to_string())
        .env("BRAFT_RPORT", RAFT_PORT.to_string())
        .env("BRAFT_HPORT", HTTP_PORT.to_string())
        .env("BRAFT_DISCOVERY", place.addresses(RAFT_PORT).join(","))
        .env("BRAFT_EXPECT", place.nodes().to_string())
        .env("BRAFT_CLUSTER", "bench")
        .env("BRAFT_DATA_DIR", place.data_dir(node)?)
        .env("NO_COLOR", "1");
    Ok(command)
}

/// Whether a node says that it serves.
pub async fn serves(place: &Place, node: usize) -> bool {
    get(&place.address(node, HTTP_PORT), "/readyz")
        .await
        .is_ok()
}

/// The node that leads.
pub async fn leader(place: &Place) -> Option<usize> {
    for node in 0..place.nodes() {
        let http = place.address(node, HTTP_PORT);
        if let Some(leader) = Nodes::new(Some(http)).leader().await {
            return (0..place.nodes()).find(|node| place.address(*node, RAFT_PORT) == leader);
        }
    }
    None
}

/// What the nodes have used and done.
pub async fn sample(cluster: &Cluster) -> Vec<NodeSample> {
    let http = cluster.place().address(0, HTTP_PORT);
    Nodes::new(Some(http)).sample().await
}
