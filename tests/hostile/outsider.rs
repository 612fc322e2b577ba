//! Nodes that the test kit did not start.

use std::future::Future;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use braft::testing::{Cluster, TestNode, TestResult};
use braft::{Config, Error, Node, PeerAddress, StaticList, Stopped};
use tests::Counter;

/// The longest anything may take here; a test that hangs says what it waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The raft addresses of the first `nodes` nodes of a cluster.
pub(crate) fn addresses<S: braft::Service>(cluster: &Cluster<S>, nodes: usize) -> Vec<String> {
    (0..nodes)
        .map(|place| cluster.address(TestNode(place)))
        .collect()
}

/// A listener on an address that no test cluster uses.
pub(crate) fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port")
}

/// The configuration of a node with the test kit's name and timers.
pub(crate) fn config(data_dir: &Path, listener: TcpListener, peers: &[String]) -> Config {
    let own: PeerAddress = listener
        .local_addr()
        .expect("a bound socket has an address")
        .to_string()
        .parse()
        .expect("the address of a socket is valid");
    let list = StaticList::parse(&peers.join(","), &own).expect("addresses of sockets are valid");
    Config::new()
        .service::<Counter>()
        .cluster_name("test")
        .data_dir(data_dir)
        .listener(listener)
        .without_http()
        .discovery(list)
        .expect_nodes(peers.len())
        .heartbeat(Duration::from_millis(50))
        .election_timeout(Duration::from_millis(250)..Duration::from_millis(500))
        .segment_bytes(2 << 20)
}

/// Starts a node that has no business here.
pub(crate) async fn start(data_dir: &Path, peers: &[String]) -> Result<Node, Error> {
    braft::start(config(data_dir, listener(), peers)).await
}

/// Why a start was refused; fails if it was not.
pub(crate) fn refusal(started: Result<Node, Error>) -> TestResult<String> {
    match started {
        Ok(node) => Err(format!("{node:?} started"))?,
        Err(error) => Ok(error.to_string()),
    }
}

/// Why a node stopped by itself.
pub(crate) async fn fate(node: &Node) -> TestResult<String> {
    match within("the node to stop", node.stopped()).await? {
        Stopped::Fatal(why) => Ok(why),
        other => Err(format!("it stopped for no reason: {other:?}"))?,
    }
}

/// Waits, but not for ever.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> TestResult<T> {
    let waited = tokio::time::timeout(PATIENCE, future).await;
    Ok(waited.map_err(|_| format!("waited {PATIENCE:?} in vain for {what}"))?)
}

/// Looks again and again until it is so.
pub(crate) async fn until<Fut: Future<Output = bool>>(
    what: &str,
    mut look: impl FnMut() -> Fut,
) -> TestResult {
    within(what, async {
        while !look().await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await
}
