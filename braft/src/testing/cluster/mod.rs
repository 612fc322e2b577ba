//! A cluster of real nodes in one process: real gRPC on loopback, real files in a temporary
//! directory.
//!
//! | file | what it holds |
//! |---|---|
//! | `life.rs` | nodes that stop, start again, and join |
//! | `binaries.rs` | nodes with another binary |
//! | `network.rs` | cuts of the network |
//! | `waits.rs` | waiting for a leader, for equal state, for votes |

mod binaries;
mod life;
mod members;
mod network;
mod waits;

use std::marker::PhantomData;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::life::Down;
use super::faults::Faults;
use super::{TestError, TestResult};
use crate::config::Config;
use crate::discovery::StaticList;
use crate::net::Dialer;
use crate::node::{Node, start};
use crate::service::Service;

const HEARTBEAT: Duration = Duration::from_millis(50);
const ELECTION_MIN: Duration = Duration::from_millis(250);
const ELECTION_MAX: Duration = Duration::from_millis(500);
/// Small, since each node of each test writes its segments in full ahead of time.
const SEGMENT_BYTES: u64 = 2 << 20;

/// A cluster for one test; clones share it.
pub struct Cluster<S> {
    shared: Arc<Shared>,
    service: PhantomData<fn() -> S>,
}

struct Shared {
    directory: tempfile::TempDir,
    ip: Ipv4Addr,
    /// Nodes that form the cluster; later ones join it.
    initial: usize,
    nodes: Mutex<Vec<Slot>>,
    faults: Faults,
    configure: Box<dyn Fn(Config) -> Config + Send + Sync>,
}

struct Slot {
    data_dir: PathBuf,
    address: SocketAddr,
    node: Option<Node>,
    /// The service in its binary.
    hosts: fn(Config) -> Config,
}

/// A node of a test cluster, by its place: 0 is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TestNode(pub usize);

impl<S> Clone for Cluster<S> {
    fn clone(&self) -> Self {
        Cluster {
            shared: self.shared.clone(),
            service: PhantomData,
        }
    }
}

impl<S: Service> Cluster<S> {
    /// Starts a cluster of `nodes` nodes and waits until it serves.
    ///
    /// # Errors
    /// If it does not form.
    pub async fn start(nodes: usize) -> TestResult<Self> {
        Self::start_with(nodes, |config| config).await
    }

    /// Starts a cluster whose nodes are configured further, for instance with a second service.
    ///
    /// # Errors
    /// If it does not form.
    pub async fn start_with(
        nodes: usize,
        configure: impl Fn(Config) -> Config + Send + Sync + 'static,
    ) -> TestResult<Self> {
        let shared = Shared {
            directory: tempfile::tempdir()?,
            ip: own_loopback_address()?,
            initial: nodes,
            nodes: Mutex::default(),
            faults: Faults::default(),
            configure: Box::new(configure),
        };
        let cluster = Cluster {
            shared: Arc::new(shared),
            service: PhantomData,
        };
        // All addresses have to be known before the first node starts.
        let mut listeners = Vec::new();
        for _ in 0..nodes {
            listeners.push(cluster.add_slot()?);
        }
        let starts = listeners.into_iter().enumerate().map(|(place, listener)| {
            let cluster = cluster.clone();
            tokio::spawn(async move { cluster.boot(TestNode(place), listener).await })
        });
        for started in starts.collect::<Vec<_>>() {
            started.await??;
        }
        cluster.leader().await?;
        Ok(cluster)
    }

    fn nodes(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.shared
            .nodes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn add_slot(&self) -> TestResult<TcpListener> {
        let listener = TcpListener::bind((self.shared.ip, 0))?;
        let mut nodes = self.nodes();
        let data_dir = self
            .shared
            .directory
            .path()
            .join(format!("node-{}", nodes.len()));
        nodes.push(Slot {
            data_dir,
            address: listener.local_addr()?,
            node: None,
            hosts: |config| config.service::<S>(),
        });
        Ok(listener)
    }

    async fn boot(&self, node: TestNode, listener: TcpListener) -> Result<(), crate::Error> {
        let (config, address) = {
            let nodes = self.nodes();
            let addresses: Vec<_> = nodes.iter().map(|slot| slot.address.to_string()).collect();
            let slot = &nodes[node.0];
            let own = slot
                .address
                .to_string()
                .parse()
                .expect("a socket has a valid address");
            let list = StaticList::parse(&addresses.join(","), &own)
                .expect("addresses of sockets are valid");
            let config = (slot.hosts)(Config::new())
                .cluster_name("test")
                .data_dir(&slot.data_dir)
                .listener(listener)
                .without_http()
                .discovery(list)
                .expect_nodes(self.shared.initial)
                .heartbeat(HEARTBEAT)
                .election_timeout(ELECTION_MIN..ELECTION_MAX)
                .segment_bytes(SEGMENT_BYTES)
                .dialer(Dialer::gated(
                    self.shared.faults.gate(&slot.address.to_string()),
                ));
            ((self.shared.configure)(config), slot.address)
        };
        tracing::debug!(%address, "starting a test node");
        let started = start(config).await?;
        self.nodes()[node.0].node = Some(started);
        Ok(())
    }

    /// A client of the service; calls enter at any running node.
    pub fn client(&self) -> S::Client {
        self.client_of::<S>()
    }

    /// A client of another service of this cluster.
    pub fn client_of<T: Service>(&self) -> T::Client {
        let addresses = self
            .nodes()
            .iter()
            .map(|slot| slot.address.to_string())
            .collect();
        crate::client::channel(addresses).into()
    }

    /// A client whose calls enter at this node, inside its process.
    ///
    /// # Errors
    /// If the node is down.
    pub fn client_at(&self, node: TestNode) -> TestResult<S::Client> {
        Ok(self.node(node)?.client::<S>())
    }

    /// The running node at a place.
    ///
    /// # Errors
    /// If it is down.
    pub fn node(&self, node: TestNode) -> TestResult<Node> {
        let nodes = self.nodes();
        let slot = nodes
            .get(node.0)
            .ok_or_else(|| format!("there is no {node:?}"))?;
        slot.node
            .clone()
            .ok_or_else(|| TestError::from(format!("{node:?} is down")))
    }

    /// Where a node is reached: "host:port".
    pub fn address(&self, node: TestNode) -> String {
        self.nodes()[node.0].address.to_string()
    }

    /// Where a node keeps its data.
    pub fn data_dir(&self, node: TestNode) -> PathBuf {
        self.nodes()[node.0].data_dir.clone()
    }

    fn running(&self) -> Vec<(TestNode, Node)> {
        let nodes = self.nodes();
        let running = nodes
            .iter()
            .enumerate()
            .filter_map(|(place, slot)| Some((TestNode(place), slot.node.clone()?)));
        running.collect()
    }
}

/// An address in 127/8 for one cluster, so that a port a stopped node gave up stays free for it.
fn own_loopback_address() -> TestResult<Ipv4Addr> {
    let [a, b, c, ..] = getrandom::u32()?.to_le_bytes();
    Ok(Ipv4Addr::new(127, a.clamp(1, 254), b, c.clamp(1, 254)))
}
