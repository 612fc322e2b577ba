//! Clusters of nodes of this program.

use std::path::Path;
use std::time::Duration;

use braft::cli::{DONE, Screen};
use load::braft::{RAFT_PORT, leader, node, serves};
use load::{Cluster, Place};

/// The longest that a node may take to come back, or to be filled.
const WITHIN: Duration = Duration::from_secs(900);

/// What a cluster is set up with, beside its addresses.
pub(crate) type Environment = &'static [(&'static str, &'static str)];

/// So many nodes on empty disks, all of which serve.
pub(crate) async fn start(
    below: &Path,
    nodes: usize,
    environment: Environment,
) -> Result<Cluster, String> {
    let place =
        Place::new(below, nodes).map_err(|error| format!("{}: {error}", below.display()))?;
    let started = place.start(|place, number| Ok(with(node(place, number)?, environment)));
    let mut cluster = started.map_err(|error| format!("the nodes do not start: {error}"))?;
    for number in 0..nodes {
        wait_for(&mut cluster, number).await?;
    }
    Ok(cluster)
}

fn with(mut command: tokio::process::Command, environment: Environment) -> tokio::process::Command {
    command.envs(environment.iter().copied());
    command
}

/// Waits until a node serves.
pub(crate) async fn wait_for(cluster: &mut Cluster, number: usize) -> Result<(), String> {
    let place = cluster.place().clone();
    let look = || async { serves(&place, number).await.then_some(()) };
    let what = format!("node {number} to serve");
    cluster.wait_within(WITHIN, &what, look).await
}

/// Waits until a node leads; says which.
pub(crate) async fn wait_for_leader(cluster: &mut Cluster) -> Result<usize, String> {
    let place = cluster.place().clone();
    cluster.wait("a leader", || leader(&place)).await
}

/// Starts a killed node on the data that it left.
pub(crate) fn restart(
    cluster: &mut Cluster,
    number: usize,
    environment: Environment,
) -> Result<(), String> {
    let command = node(cluster.place(), number);
    command
        .and_then(|command| cluster.restart(number, with(command, environment)))
        .map_err(|error| format!("node {number} does not start: {error}"))
}

/// Starts a node more, on an empty disk; says which it is.
pub(crate) fn add(cluster: &mut Cluster, environment: Environment) -> Result<usize, String> {
    let added = cluster.add(|place, number| Ok(with(node(place, number)?, environment)));
    added.map_err(|error| format!("another node does not start: {error}"))
}

/// Where the nodes are called.
pub(crate) fn addresses(cluster: &Cluster) -> Vec<String> {
    cluster.place().addresses(RAFT_PORT)
}

/// Has a node write a snapshot, and waits until it is there.
pub(crate) async fn snapshot(place: &Place, number: usize) -> Result<(), String> {
    let address = place.address(number, RAFT_PORT);
    let words = [
        "braft",
        "--address",
        &address,
        "--timeout",
        "600",
        "snapshot",
    ];
    let mut screen = Screen::new(std::io::sink(), std::io::stderr());
    match braft::cli::run(words.map(Into::into), &mut screen).await {
        DONE => Ok(()),
        code => Err(format!(
            "node {number} writes no snapshot: exit code {code}"
        )),
    }
}
