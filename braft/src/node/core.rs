//! One node's parts and how they meet: disk, peers, raft, calls.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::timeout;

use super::fresh::FreshReads;
use super::leaderships::Leaderships;
use crate::client::{ClusterPin, Pool};
use crate::cluster::decisions::Decisions;
use crate::cluster::formation::{MemberSet, Message, PromiseRecord};
use crate::cluster::joining::Joiner;
use crate::cluster::monitor::Outlook;
use crate::cluster::ports::{Formed, Host};
use crate::cluster::requests::Requests;
use crate::codec;
use crate::discovery::PeerAddress;
use crate::error::Error;
use crate::machine::Machine;
use crate::member::{NodeInfo, display_id};
use crate::metrics::CallsFigures;
use crate::raft::network::Peers;
use crate::raft::{RaftNode, RaftOptions, RaftSlot, RaftView};
use crate::request::LeaderNews;
use crate::storage::node_dir::NodeDir;
use crate::storage::snapshot::SnapshotStore;
use crate::storage::wal::Wal;

/// The longest a question whether this node is ready waits for what is committed by then to be
/// applied: below the second that probes wait for an answer.
const READY_WAIT: Duration = Duration::from_millis(500);

/// Why a node is no longer running.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stopped {
    /// It was asked to.
    Shutdown,
    /// It had to: the text says why, and what to do.
    Fatal(String),
}

/// What raft is made of once a cluster is known. Taken when raft starts.
pub(super) struct Parts {
    pub(super) machine: Machine,
    pub(super) wal: Wal,
    pub(super) snapshots: SnapshotStore,
}

pub(crate) struct Core {
    pub(super) peers: Arc<Peers>,
    pub(super) slot: Arc<RaftSlot>,
    pub(super) started: Notify,
    pub(super) dir: NodeDir,
    pub(super) options: RaftOptions,
    pub(super) parts: Mutex<Option<Parts>>,
    pub(super) formed: Arc<OnceLock<Formed>>,
    /// Ways to the other nodes, for calls that belong to the leader; once the cluster is known.
    pub(super) links: OnceLock<Arc<Pool>>,
    /// Once raft is started.
    pub(super) fresh: OnceLock<FreshReads>,
    pub(super) stopped: watch::Sender<Option<Stopped>>,
    /// Room for those who follow events here.
    pub(super) subscribers: Arc<Semaphore>,
    /// Whether free disk space is below the reserve.
    pub(super) disk_low: watch::Sender<bool>,
    /// Commands and queries that have been running for long.
    pub(super) slow: watch::Sender<Vec<String>>,
    /// Replicas whose states differ.
    pub(super) divergences: watch::Sender<Vec<String>>,
    /// The calls that were answered here, by method.
    pub(super) calls: CallsFigures,
    pub(super) leaderships: Leaderships,
    /// What callers are told of who leads.
    pub(super) leader_news: watch::Sender<Option<LeaderNews>>,
    /// What this node has decided about the members while it led.
    pub(super) decisions: Arc<Decisions>,
    pub(super) about: super::status::About,
    /// What nodes ask of this one while it leads.
    pub(super) requests: Arc<Requests>,
    pub(super) joiner: Arc<Joiner>,
}

impl Core {
    pub(crate) fn cluster_name(&self) -> &str {
        &self.peers.me().cluster_name
    }

    pub(crate) fn requests(&self) -> &Requests {
        &self.requests
    }

    /// What this node makes of the members, if it leads.
    pub(crate) fn outlook(&self) -> Option<&Outlook> {
        self.about.outlook.get()
    }

    pub(crate) fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    /// Raft, once this node is in a cluster.
    pub(crate) fn raft(&self) -> Option<&RaftNode> {
        self.slot.get()
    }

    /// Where the leader is reached, if one is known: where it was met, else as committed.
    pub(crate) fn leader_address(&self) -> Option<String> {
        let view = self.raft()?.view();
        let (id, info) = view.leader_info()?;
        let met = self.peers.address_of(id);
        Some(met.unwrap_or_else(|| info.address.clone()))
    }

    pub(crate) async fn formation_message(&self, message: Message) -> Option<Message> {
        self.formed.get()?.message(message).await
    }

    /// Stops the node for a reason; the first reason stays.
    pub(crate) fn stop(&self, why: Stopped) {
        self.stopped.send_if_modified(|stopped| {
            let first = stopped.is_none();
            if first {
                *stopped = Some(why);
            }
            first
        });
    }

    /// Why this node stopped, once it has.
    #[cfg(feature = "macros")]
    pub(crate) fn watch_stopped(&self) -> watch::Receiver<Option<Stopped>> {
        self.stopped.subscribe()
    }

    /// All members, as far as this node has applied the log; `None` if the state is in use.
    #[cfg(feature = "macros")]
    pub(crate) fn committed_members(&self) -> Option<Vec<u64>> {
        let members = |replica: &crate::machine::Replica| {
            replica.members().members.nodes.keys().copied().collect()
        };
        self.raft()?.machine().glance(members)
    }

    /// Frees the data directory for another start. To be called when raft and all tasks have ended.
    pub(super) fn close_disk(&self) {
        // A log that never met raft closes when it is dropped.
        drop(
            self.parts
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        self.dir.release();
    }

    /// Raft, as soon as this node is in a cluster.
    pub(crate) async fn raft_started(&self) -> &RaftNode {
        loop {
            let started = self.started.notified();
            if let Some(raft) = self.slot.get() {
                return raft;
            }
            started.await;
        }
    }

    /// Node id, IP and host name, as HTTP answers bear them.
    pub(crate) fn signature(&self) -> [String; 3] {
        let me = self.peers.me();
        let host = me.address.rsplit_once(':').map_or("", |(host, _)| host);
        [
            display_id(me.node_id),
            host.to_owned(),
            self.about.host.clone(),
        ]
    }

    /// Whether this node's process should go on: it does until it has stopped for good.
    pub(crate) fn alive(&self) -> Result<(), String> {
        match &*self.stopped.borrow() {
            Some(Stopped::Fatal(why)) => Err(why.clone()),
            Some(Stopped::Shutdown) | None => Ok(()),
        }
    }

    /// Whether this node knows a leader and, within a moment, the state up to now; if not, why.
    ///
    /// Under load there is always something that is committed and not yet applied: what counts is
    /// what was committed when the question came.
    pub(crate) async fn ready(&self) -> Result<(), String> {
        self.alive()?;
        let raft = self.raft().ok_or_else(|| {
            self.formed
                .get()
                .map(Formed::report)
                .unwrap_or_else(|| "starting".to_owned())
        })?;
        let view = raft.view();
        self.is_member(&view)?;
        if !raft.is_in_touch() {
            return Err("this node has lost touch with the others".to_owned());
        }
        let committed = view.committed.map_or(0, |(_, index)| index);
        let mut applied = raft.watch_applied();
        let caught_up = applied.wait_for(|applied| *applied >= committed);
        if timeout(READY_WAIT, caught_up).await.is_err() {
            let behind = committed.saturating_sub(raft.applied_index());
            return Err(format!(
                "this node is catching up: {behind} log entries are left"
            ));
        }
        Ok(())
    }

    /// Whether a view of raft is that of a node that knows a leader and the state up to now.
    pub(super) fn serves(&self, view: &RaftView) -> Result<(), String> {
        self.is_member(view)?;
        if view.applied < view.committed {
            return Err("this node is catching up".to_owned());
        }
        Ok(())
    }

    /// Whether it is that of a node that belongs to a cluster with a leader, and may serve.
    fn is_member(&self, view: &RaftView) -> Result<(), String> {
        if view.leader.is_none() {
            return Err("no leader is known".to_owned());
        }
        let me = self.peers.me().node_id;
        if !view.members.members.nodes.contains_key(&me) {
            return Err("this node is not a member yet".to_owned());
        }
        if let Some(refusal) = self.raft().and_then(RaftNode::out_of_service) {
            return Err(refusal.message);
        }
        Ok(())
    }

    /// Starts raft from what is on disk, in the cluster that is known by now.
    pub(super) async fn start_raft(&self) -> Result<&RaftNode, Error> {
        if let Some(raft) = self.slot.get() {
            return Ok(raft);
        }
        let parts = self
            .parts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Parts {
            machine,
            wal,
            snapshots,
        } = parts.ok_or_else(|| Error::fatal("raft was started and failed before"))?;
        let peers = self.peers.clone();
        let raft = RaftNode::start(self.options, wal, machine, snapshots, peers).await?;
        let links = self.links.get().expect("set before raft starts").clone();
        let fresh = FreshReads::start(raft.clone(), self.peers.clone(), links);
        assert!(self.fresh.set(fresh).is_ok(), "a node starts raft once");
        self.slot.fill(raft);
        self.started.notify_waiters();
        Ok(self.slot.get().expect("the slot has just been filled"))
    }
}

impl Host for Core {
    fn persist(&self, record: &PromiseRecord) -> Result<(), Error> {
        let bytes = codec::encode(record)
            .map_err(|error| Error::fatal(format!("the promise cannot be encoded: {error}")))?;
        self.dir.save_promise(&bytes).map_err(|error| {
            Error::fatal("the promise cannot be written to the data directory").with_source(error)
        })
    }

    async fn begin(&self, cluster_id: u128, members: Option<MemberSet>) -> Result<(), Error> {
        self.dir.set_cluster_id(cluster_id).map_err(|error| {
            Error::fatal("the cluster id cannot be written to the data directory")
                .with_source(error)
        })?;
        self.peers.set_cluster_id(cluster_id);
        let pin = ClusterPin::known(cluster_id);
        self.links
            .get_or_init(|| Arc::new(Pool::new(pin, self.peers.dialer().clone())));
        let raft = self.start_raft().await?;
        let Some(members) = members else {
            return Ok(());
        };
        if raft.view().last_log_index.is_some() {
            return Ok(());
        }
        raft.initialize(initial_members(&members)).await
    }

    async fn join(&self, peer: PeerAddress) {
        let _settled = self.joiner.ask(&peer.to_string(), None).await;
    }
}

/// Where the leader is reached, if it is known and another node: where it was met, else as committed.
pub(super) fn leader_elsewhere(raft: &RaftNode, peers: &Peers) -> Option<String> {
    let view = raft.view();
    let (id, info) = view
        .leader_info()
        .filter(|(id, _)| *id != peers.me().node_id)?;
    let met = peers.address_of(id);
    Some(met.unwrap_or_else(|| info.address.clone()))
}

/// The first membership. Made of the proposal alone: it has to be the same, byte for byte, on
/// each node that may write it.
fn initial_members(members: &MemberSet) -> BTreeMap<u64, NodeInfo> {
    let info = |address: &PeerAddress| NodeInfo {
        name: address.to_string(),
        name_is_chosen: false,
        address: address.to_string(),
        http_address: String::new(),
    };
    members
        .iter()
        .map(|(id, address)| (*id, info(address)))
        .collect()
}
