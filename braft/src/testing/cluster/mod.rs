//! A cluster of real nodes in one process: real gRPC on loopback, real files in a temporary
//! directory.
//!
//! | file | what it holds |
//! |---|---|
//! | `ground.rs` | loopback, or a simulated network |
//! | `life.rs` | nodes that stop, start again, and join |
//! | `binaries.rs` | nodes with another binary |
//! | `network.rs` | cuts and losses of the network |
//! | `waits.rs` | waiting for a leader, for equal state, for votes |

mod binaries;
mod ground;
mod life;
mod members;
mod network;
mod waits;

use std::marker::PhantomData;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;

use self::ground::Ground;
pub use self::life::Down;
use super::faults::Side;
use super::{TestError, TestResult};
use crate::config::{Config, Seams};
use crate::discovery::StaticList;
use crate::net::Dialer;
use crate::node::{Node, start};
use crate::service::Service;
use crate::testing::simulation::Network;
use crate::wall::WallClock;
use crate::world;
use crate::world::process::Process;

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
    ground: Ground,
    /// Nodes that form the cluster; later ones join it.
    initial: usize,
    nodes: Mutex<Vec<Slot>>,
    /// The service in the binaries of the first nodes.
    hosts: Hosts,
    configure: Box<Configure>,
}

/// Gives a node its service.
pub(crate) type Hosts = fn(Config) -> Config;

/// Completes the configuration of a node, which comes with the seams it would have.
type Configure = dyn Fn(TestNode, Seams, Config) -> Config + Send + Sync;

struct Slot {
    data_dir: PathBuf,
    address: SocketAddr,
    node: Option<Node>,
    clock_rate: f64,
    /// By how many seconds its wall clock is ahead of the system's.
    clock_ahead: Arc<AtomicI64>,
    /// The service in its binary.
    hosts: Hosts,
    /// Its process, where that is simulated.
    process: Option<Process>,
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
        let configure = move |_, seams, config: Config| configure(config.seams(seams));
        Self::start_on(Ground::loopback()?, nodes, Box::new(configure)).await
    }

    /// Starts the nodes of a cluster, which run on what the test puts in their machine's place, and
    /// does not wait until they have formed it. Their binaries have another service in the place of
    /// this one, if one is given.
    pub(crate) async fn boot_seamed(
        nodes: usize,
        network: Option<Network>,
        hosts: Option<Hosts>,
        configure: Box<Configure>,
    ) -> TestResult<Self> {
        let ground = match network {
            Some(network) => Ground::Simulated(network),
            None => Ground::loopback()?,
        };
        let hosts = hosts.unwrap_or(|config| config.service::<S>());
        Self::boot_on(ground, nodes, hosts, configure).await
    }

    async fn start_on(ground: Ground, nodes: usize, configure: Box<Configure>) -> TestResult<Self> {
        let hosts: Hosts = |config| config.service::<S>();
        let cluster = Self::boot_on(ground, nodes, hosts, configure).await?;
        cluster.leader().await?;
        Ok(cluster)
    }

    async fn boot_on(
        ground: Ground,
        nodes: usize,
        hosts: Hosts,
        configure: Box<Configure>,
    ) -> TestResult<Self> {
        let shared = Shared {
            ground,
            initial: nodes,
            nodes: Mutex::default(),
            hosts,
            configure,
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
        Ok(cluster)
    }

    fn nodes(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.shared
            .nodes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn add_slot(&self) -> TestResult<Option<TcpListener>> {
        let ground = &self.shared.ground;
        let mut nodes = self.nodes();
        let place = nodes.len();
        let (address, listener) = ground.address(place)?;
        nodes.push(Slot {
            data_dir: ground.directory().join(format!("node-{place}")),
            address,
            node: None,
            clock_rate: 1.0,
            clock_ahead: Arc::default(),
            hosts: if place < self.shared.initial {
                self.shared.hosts
            } else {
                |config| config.service::<S>()
            },
            process: None,
        });
        Ok(listener)
    }

    async fn boot(
        &self,
        node: TestNode,
        listener: Option<TcpListener>,
    ) -> Result<(), crate::Error> {
        let ground = &self.shared.ground;
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
                .without_http()
                .discovery(list)
                .expect_nodes(self.shared.initial)
                .heartbeat(HEARTBEAT)
                .election_timeout(ELECTION_MIN..ELECTION_MAX)
                .segment_bytes(SEGMENT_BYTES)
                .wall_clock(shifted(slot.clock_ahead.clone()))
                .clock_rate(slot.clock_rate);
            let config = ground.place(config, slot.address, listener);
            let seams = ground.seams(&slot.address.to_string());
            let config = (self.shared.configure)(node, seams, config);
            (config, slot.address)
        };
        tracing::debug!(%address, "starting a test node");
        let process = world::simulated::process(node.0);
        let started = match process.clone() {
            Some(process) => process.run(start(config).boxed()).await?,
            None => start(config).await?,
        };
        let slot = &mut self.nodes()[node.0];
        (slot.node, slot.process) = (Some(started), process);
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
        crate::client::channel(addresses, self.dialer("client")).into()
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

    /// Sets the wall clock of a node, running or not: so many seconds ahead of the system's, or
    /// behind it if negative.
    pub fn set_clock_ahead(&self, node: TestNode, seconds: i64) {
        let nodes = self.nodes();
        nodes[node.0].clock_ahead.store(seconds, Ordering::Relaxed);
    }

    /// Where a node is reached: "host:port".
    pub fn address(&self, node: TestNode) -> String {
        self.nodes()[node.0].address.to_string()
    }

    /// Where a node keeps its data.
    pub fn data_dir(&self, node: TestNode) -> PathBuf {
        self.nodes()[node.0].data_dir.clone()
    }

    /// The way to the nodes from somewhere else.
    pub(crate) fn dialer(&self, from: &str) -> Dialer {
        self.shared.ground.dialer(Side::Client, from)
    }

    pub(crate) fn running(&self) -> Vec<(TestNode, Node)> {
        let nodes = self.nodes();
        let running = nodes
            .iter()
            .enumerate()
            .filter_map(|(place, slot)| Some((TestNode(place), slot.node.clone()?)));
        running.collect()
    }
}

fn shifted(ahead: Arc<AtomicI64>) -> WallClock {
    WallClock::of(move || {
        let seconds = ahead.load(Ordering::Relaxed);
        let shift = Duration::from_secs(seconds.unsigned_abs());
        let now = crate::world::wall_clock();
        let shifted = if seconds < 0 {
            now.checked_sub(shift)
        } else {
            now.checked_add(shift)
        };
        shifted.unwrap_or(now)
    })
}
