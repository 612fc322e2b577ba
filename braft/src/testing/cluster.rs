//! A cluster of real nodes in one process: real gRPC on loopback, real files in a temporary
//! directory.

use std::future::Future;
use std::marker::PhantomData;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::faults::Faults;
use super::{TestError, TestResult};
use crate::config::Config;
use crate::discovery::StaticList;
use crate::net::Dialer;
use crate::node::{Node, start};
use crate::raft::Role;
use crate::service::Service;

/// The longest a cluster may take to get somewhere. Not a deadline of the product: a test that
/// hangs says what it waited for.
const PATIENCE: Duration = Duration::from_secs(30);
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

pub(super) struct Slot {
    pub(super) data_dir: PathBuf,
    pub(super) address: SocketAddr,
    pub(super) node: Option<Node>,
}

/// A node of a test cluster, by its place: 0 is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TestNode(pub usize);

/// A node that was stopped; its data is kept.
#[derive(Debug)]
#[must_use = "restart it, or name it `_`"]
pub struct Down(pub(super) TestNode);

impl Down {
    /// Which node it is.
    pub fn node(&self) -> TestNode {
        self.0
    }
}

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

    pub(super) fn nodes(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.shared
            .nodes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add_slot(&self) -> TestResult<TcpListener> {
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
            let config = Config::new()
                .service::<S>()
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

    pub(super) fn running(&self) -> Vec<(TestNode, Node)> {
        let nodes = self.nodes();
        let running = nodes
            .iter()
            .enumerate()
            .filter_map(|(place, slot)| Some((TestNode(place), slot.node.clone()?)));
        running.collect()
    }

    /// Waits for a leader that a quorum confirms, and names it.
    ///
    /// # Errors
    /// If none appears.
    pub async fn leader(&self) -> TestResult<TestNode> {
        patiently("a leader", || async {
            for (place, node) in self.running() {
                let Some(raft) = node.core().raft() else {
                    continue;
                };
                if raft.is_leader() && raft.confirm_leadership().await.is_ok() {
                    return Some(place);
                }
            }
            None
        })
        .await
    }

    /// Stops a node at once, as a crash would; its data stays.
    ///
    /// # Errors
    /// If it is down already.
    pub async fn kill(&self, node: TestNode) -> TestResult<Down> {
        let running = self.nodes()[node.0].node.take();
        let running = running.ok_or_else(|| format!("{node:?} is down already"))?;
        running.kill().await;
        Ok(Down(node))
    }

    /// Stops a node in order, as on SIGTERM; its data stays.
    ///
    /// # Errors
    /// If it is down already.
    pub async fn shut_down(&self, node: TestNode) -> TestResult<Down> {
        let running = self.nodes()[node.0].node.take();
        let running = running.ok_or_else(|| format!("{node:?} is down already"))?;
        running.shutdown(PATIENCE).await;
        Ok(Down(node))
    }

    /// Stops the leader at once.
    ///
    /// # Errors
    /// If there is none.
    pub async fn kill_leader(&self) -> TestResult<Down> {
        self.kill(self.leader().await?).await
    }

    /// Starts a stopped node again, on its data and its address.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn restart(&self, down: Down) -> TestResult {
        self.start_again(down.0).await
    }

    pub(super) async fn start_again(&self, node: TestNode) -> TestResult {
        let address = self.nodes()[node.0].address;
        let listener = TcpListener::bind(address)?;
        Ok(self.boot(node, listener).await?)
    }

    /// Stops all nodes at once, as a power cut would.
    pub async fn stop_all(&self) {
        let running: Vec<_> = self
            .nodes()
            .iter_mut()
            .filter_map(|slot| slot.node.take())
            .collect();
        let stopping = running.into_iter().map(|node| {
            tokio::spawn(async move {
                node.kill().await;
            })
        });
        for stopped in stopping.collect::<Vec<_>>() {
            if let Err(error) = stopped.await {
                tracing::warn!(%error, "a test node did not stop in order");
            }
        }
    }

    /// Starts all nodes that are down, on their data.
    ///
    /// # Errors
    /// If one of them does not start.
    pub async fn start_all(&self) -> TestResult {
        let down: Vec<_> = {
            let nodes = self.nodes();
            (0..nodes.len())
                .filter(|place| nodes[*place].node.is_none())
                .collect()
        };
        for place in down {
            self.start_again(TestNode(place)).await?;
        }
        Ok(())
    }

    /// Adds a node with an empty disk, which joins; returns once it is a member.
    ///
    /// # Errors
    /// If it is not taken in.
    pub async fn add_node(&self) -> TestResult<TestNode> {
        let listener = self.add_slot()?;
        let node = TestNode(self.nodes().len() - 1);
        self.boot(node, listener).await?;
        self.wait_for_member(node).await?;
        Ok(node)
    }

    pub(super) async fn wait_for_member(&self, node: TestNode) -> TestResult {
        let added = self.node(node)?;
        patiently("the new node to be a member", || async {
            let raft = added.core().raft()?;
            let id = added.core().peers().me().node_id;
            raft.view()
                .members
                .members
                .nodes
                .contains_key(&id)
                .then_some(())
        })
        .await
    }

    /// Cuts the network between a node and all others, both ways.
    pub fn isolate(&self, node: TestNode) {
        let others = (0..self.nodes().len())
            .map(TestNode)
            .filter(|other| *other != node);
        self.partition(&[node], &others.collect::<Vec<_>>());
    }

    /// Cuts the network between two groups of nodes, both ways.
    pub fn partition(&self, these: &[TestNode], those: &[TestNode]) {
        for a in these {
            for b in those {
                self.cut(*a, *b);
                self.cut(*b, *a);
            }
        }
    }

    /// Cuts the way from one node to another; the way back stays open.
    pub fn cut(&self, from: TestNode, to: TestNode) {
        self.shared
            .faults
            .cut(&self.address(from), &self.address(to));
    }

    /// Undoes all cuts.
    pub fn heal(&self) {
        self.shared.faults.heal();
    }

    /// Waits until all running nodes have applied the same log and hold the same state.
    ///
    /// # Errors
    /// If they do not get there, or if their states differ at one log index.
    pub async fn converged(&self) -> TestResult {
        let digests = patiently("all nodes at one log index", || async {
            let leader = self.leader().await.ok()?;
            let target = self
                .node(leader)
                .ok()?
                .core()
                .raft()?
                .confirm_leadership()
                .await
                .ok()?;
            let mut digests = Vec::new();
            for (place, node) in self.running() {
                let raft = node.core().raft()?;
                if raft.view().members.members.nodes.len() < self.running().len() {
                    return None;
                }
                let (applied, digest) = raft.machine().digest().ok()?;
                digests.push((applied?.1, digest, place));
            }
            let first = digests.first()?.0;
            let level = digests
                .iter()
                .all(|(index, ..)| *index == first && *index >= target);
            level.then_some(digests)
        })
        .await?;
        if digests.iter().any(|(_, digest, _)| *digest != digests[0].1) {
            return Err(TestError::from(format!("the replicas differ: {digests:?}")));
        }
        Ok(())
    }

    /// Waits until all running nodes vote.
    ///
    /// # Errors
    /// If they do not get there.
    pub async fn all_vote(&self) -> TestResult {
        patiently("all nodes to vote", || async {
            let running = self.running();
            let (_, node) = running.iter().find(|(_, node)| {
                node.core()
                    .raft()
                    .is_some_and(|raft| raft.view().role == Role::Leader)
            })?;
            let members = node.core().raft()?.view().members.members;
            let all = running
                .iter()
                .all(|(_, node)| members.is_voter(node.core().peers().me().node_id));
            (all && members.configs.len() == 1).then_some(())
        })
        .await
    }
}

/// Looks again and again until there is something to see.
pub(super) async fn patiently<T, Fut: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> Fut,
) -> TestResult<T> {
    const LOOK_EVERY: Duration = Duration::from_millis(10);
    let looking = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking)
        .await
        .map_err(|_| TestError::from(format!("waited {PATIENCE:?} in vain for {what}")))
}

/// An address in 127/8 for one cluster, so that a port a stopped node gave up stays free for it.
fn own_loopback_address() -> TestResult<Ipv4Addr> {
    let [a, b, c, ..] = getrandom::u32()?.to_le_bytes();
    Ok(Ipv4Addr::new(127, a.clamp(1, 254), b, c.clamp(1, 254)))
}
