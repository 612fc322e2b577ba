//! Who the peers are and where they answer.
//!
//! A peer is dialed at the address that last completed a handshake for its id; committed addresses
//! are hints, since all of them may change at once. What a handshake has to show stands in
//! `handshake.rs`, how one is reached in `dial.rs`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tonic::transport::Channel;

use super::walls::Walls;
use crate::machine::Versions;
use crate::member::NodeInfo;
use crate::metrics::PeersFigures;
use crate::net::Dialer;
use crate::wall::WallClock;
use crate::wire::convert::cluster_id_to;
use crate::wire::v1 as pb;

/// Nodes remembered; beyond it the one that was met longest ago goes. Far more than members.
pub(super) const MAX_KNOWN: usize = 256;

/// Who this process is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    pub(crate) cluster_name: String,
    pub(crate) node_id: u64,
    /// Drawn at each start: two processes with one node id differ in it.
    pub(crate) incarnation: u64,
    /// How often this node's data directory was started, this time included.
    pub(crate) starts: u64,
    /// Where this node is reached: "host:port".
    pub(crate) address: String,
    pub(crate) name: String,
    /// Whether its user chose the name.
    pub(crate) name_is_chosen: bool,
    /// "host:port"; empty without HTTP.
    pub(crate) http_address: String,
    pub(crate) timers: Timers,
    /// Whether its services were built with debug assertions.
    pub(crate) is_checked: bool,
    /// What this node's binary knows.
    pub(crate) versions: Versions,
}

impl Identity {
    /// What is to be committed about this node.
    pub(crate) fn info(&self) -> NodeInfo {
        NodeInfo {
            name: self.name.clone(),
            name_is_chosen: self.name_is_chosen,
            address: self.address.clone(),
            http_address: self.http_address.clone(),
        }
    }
}

/// Timers that the members have to share for leases and elections to be safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timers {
    pub(crate) heartbeat_ms: u32,
    pub(crate) election_min_ms: u32,
    pub(crate) election_max_ms: u32,
}

impl Timers {
    /// How long these times take by a clock that runs at another rate.
    pub(crate) fn at_rate(self, rate: f64) -> Self {
        let scaled = |ms: u32| (f64::from(ms) / rate).round() as u32;
        Timers {
            heartbeat_ms: scaled(self.heartbeat_ms),
            election_min_ms: scaled(self.election_min_ms),
            election_max_ms: scaled(self.election_max_ms),
        }
    }
}

/// How far a disk reaches: the term of its vote, and the index of its last log entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Progress {
    pub(crate) vote_term: u64,
    pub(crate) last_index: u64,
}

/// Reads this node's own progress.
type ReadProgress = Box<dyn Fn() -> Progress + Send + Sync>;

/// The address book, and what the rules of the handshake need.
pub(crate) struct Peers {
    pub(super) me: Identity,
    pub(super) dialer: Dialer,
    walls: Walls,
    cluster_id: OnceLock<u128>,
    progress: OnceLock<ReadProgress>,
    pub(super) known: Mutex<BTreeMap<u64, Known>>,
    pub(super) channels: Mutex<HashMap<(u64, Lane), Line>>,
    /// Members, which are never forgotten in favour of strangers.
    members: Mutex<BTreeSet<u64>>,
    /// What was said last about a node in the log: only news are said again.
    said: Mutex<BTreeMap<u64, String>>,
    /// Why a peer could not be reached when it was last dialed; nothing once it could.
    pub(super) troubles: Mutex<BTreeMap<u64, Trouble>>,
    started: Instant,
    /// When a leader was last heard, in milliseconds since `started`; 0 before that.
    leader_heard_ms: AtomicU64,
    /// Set when this process must not go on: another one runs with its id, or its disk was put back.
    pub(super) unfit: watch::Sender<Option<String>>,
    figures: PeersFigures,
}

/// A node that has shaken hands.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// Where it was met: "host:port".
    pub(super) address: String,
    /// What it says of itself.
    pub(super) info: NodeInfo,
    pub(super) version: String,
    /// What its binary knows; nothing of one that takes no part in activating versions.
    pub(super) versions: Versions,
    pub(super) incarnation: u64,
    pub(super) starts: u64,
    pub(super) met: Instant,
    /// What this incarnation has acknowledged, as far as this node knows.
    pub(super) acknowledged: Progress,
    /// What earlier incarnations had acknowledged, until this one shows that its disk holds it.
    pub(super) owed: Option<Progress>,
}

/// Why a node is not spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) text: String,
    /// It answers, and this node does not want to.
    pub(super) by_choice: bool,
}

/// A connection that has shaken hands.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) channel: Channel,
    /// With whom.
    pub(crate) incarnation: u64,
}

/// Connections to one peer that must not wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// Replication and votes.
    Append,
    /// Heartbeats, which must not queue behind megabytes of entries.
    Heartbeat,
    Snapshot,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The maps are plain data: a panic elsewhere cannot leave them half-changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers")
            .field("me", &self.me)
            .finish_non_exhaustive()
    }
}

impl Peers {
    pub(crate) fn new(me: Identity, dialer: Dialer, cluster_id: Option<u128>) -> Self {
        let id = OnceLock::new();
        if let Some(cluster_id) = cluster_id {
            id.set(cluster_id).expect("the lock is new");
        }
        Peers {
            me,
            dialer,
            walls: Walls::default(),
            cluster_id: id,
            progress: OnceLock::new(),
            known: Mutex::default(),
            channels: Mutex::default(),
            members: Mutex::default(),
            said: Mutex::default(),
            troubles: Mutex::default(),
            started: Instant::now(),
            leader_heard_ms: AtomicU64::new(0),
            unfit: watch::Sender::new(None),
            figures: PeersFigures::default(),
        }
    }

    /// Goes by another wall clock than the system's.
    pub(crate) fn with_wall_clock(self, clock: WallClock) -> Self {
        let walls = Walls::new(clock);
        Peers { walls, ..self }
    }

    /// What the wall clocks show.
    pub(crate) fn walls(&self) -> &Walls {
        &self.walls
    }

    /// A leader's append or heartbeat was accepted.
    pub(super) fn note_leader_heard(&self) {
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.leader_heard_ms.store(ms.max(1), Ordering::Relaxed);
    }

    /// Whether a leader was heard within this time.
    pub(crate) fn leader_heard_within(&self, time: Duration) -> bool {
        let heard = self.leader_heard_ms.load(Ordering::Relaxed);
        let at = Duration::from_millis(heard);
        heard != 0 && self.started.elapsed().saturating_sub(at) < time
    }

    /// What was said to each peer.
    pub(crate) fn figures(&self) -> &PeersFigures {
        &self.figures
    }

    /// Whether a connection for replication to a node is open, as far as this one knows.
    pub(crate) fn is_connected(&self, node_id: u64) -> bool {
        let lanes = [Lane::Append, Lane::Heartbeat];
        let channels = locked(&self.channels);
        let mut open = lanes
            .iter()
            .map(|lane| channels.contains_key(&(node_id, *lane)));
        open.any(|open| open)
    }

    /// Has this node stop, and say why.
    pub(super) fn stop(&self, why: String) {
        self.unfit.send_replace(Some(why));
    }

    /// Why this node must stop, as its peers see it.
    pub(crate) fn watch_unfit(&self) -> watch::Receiver<Option<String>> {
        self.unfit.subscribe()
    }

    pub(crate) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    pub(crate) fn me(&self) -> &Identity {
        &self.me
    }

    pub(crate) fn cluster_id(&self) -> Option<u128> {
        self.cluster_id.get().copied()
    }

    /// Sets the cluster this node belongs to; once.
    pub(crate) fn set_cluster_id(&self, id: u128) {
        let set = *self.cluster_id.get_or_init(|| id);
        assert_eq!(set, id, "a node never changes its cluster");
    }

    /// Says how to read what is on this node's disk; before raft starts.
    pub(crate) fn set_progress(&self, read: impl Fn() -> Progress + Send + Sync + 'static) {
        // A second start of raft reads the same log.
        drop(self.progress.set(Box::new(read)));
    }

    pub(super) fn progress(&self) -> Option<Progress> {
        self.progress.get().map(|read| read())
    }

    /// The address that last completed a handshake for a node id.
    pub(crate) fn address_of(&self, node_id: u64) -> Option<String> {
        locked(&self.known)
            .get(&node_id)
            .map(|known| known.address.clone())
    }

    /// Why the node could not be reached when it was last dialed; `None` if it could.
    pub(crate) fn trouble_with(&self, node_id: u64) -> Option<String> {
        locked(&self.troubles)
            .get(&node_id)
            .map(|trouble| trouble.text.clone())
    }

    /// Why this node does not speak to another one, though it could.
    pub(crate) fn shunned(&self, node_id: u64) -> Option<String> {
        locked(&self.troubles)
            .get(&node_id)
            .filter(|trouble| trouble.by_choice)
            .map(|trouble| trouble.text.clone())
    }

    /// What a node last said of itself, and the version of braft it runs.
    pub(crate) fn about(&self, node_id: u64) -> Option<(NodeInfo, String)> {
        if node_id == self.me.node_id {
            return Some((self.me.info(), env!("CARGO_PKG_VERSION").to_owned()));
        }
        locked(&self.known)
            .get(&node_id)
            .map(|known| (known.info.clone(), known.version.clone()))
    }

    /// What the binary of a node knows, as it said in its last handshake.
    pub(crate) fn versions_of(&self, node_id: u64) -> Option<Versions> {
        if node_id == self.me.node_id {
            return Some(self.me.versions.clone());
        }
        locked(&self.known)
            .get(&node_id)
            .map(|known| known.versions.clone())
    }

    /// Whether a node has completed a handshake within this time.
    pub(crate) fn met_within(&self, node_id: u64, time: Duration) -> bool {
        locked(&self.known)
            .get(&node_id)
            .is_some_and(|known| known.met.elapsed() < time)
    }

    /// Addresses at which nodes of this cluster were met, the latest first; at most `limit`.
    pub(crate) fn addresses(&self, limit: usize) -> Vec<String> {
        let known = locked(&self.known);
        let mut met: Vec<_> = known
            .values()
            .map(|known| (known.met, known.address.clone()))
            .collect();
        met.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        met.into_iter()
            .take(limit)
            .map(|(_, address)| address)
            .collect()
    }

    /// Says who the members are: they are remembered whoever else comes along.
    pub(crate) fn set_members(&self, members: impl Iterator<Item = u64>) {
        *locked(&self.members) = members.collect();
    }

    /// Logs an error about a node, unless the last one said the same.
    pub(crate) fn complain(&self, node_id: u64, text: &str) {
        let mut said = locked(&self.said);
        if said.get(&node_id).is_some_and(|last| last == text) {
            return;
        }
        if said.len() >= MAX_KNOWN {
            said.clear();
        }
        said.insert(node_id, text.to_owned());
        drop(said);
        tracing::error!("{text}");
    }

    /// What was last said of a node in the log.
    #[cfg(test)]
    pub(super) fn said_of(&self, node_id: u64) -> Option<String> {
        locked(&self.said).get(&node_id).cloned()
    }

    /// Takes note of what a process has acknowledged: its disk must never lie behind that.
    pub(crate) fn note_acknowledged(&self, node_id: u64, incarnation: u64, progress: Progress) {
        if let Some(known) = locked(&self.known).get_mut(&node_id) {
            if known.incarnation == incarnation {
                known.acknowledged = known.acknowledged.max(progress);
            } else {
                // The answer of a process that is over: the one after it has to show as much.
                known.owed = Some(known.owed.map_or(progress, |owed| owed.max(progress)));
            }
        }
    }

    /// Makes room for one more node.
    pub(super) fn make_room(&self, known: &mut BTreeMap<u64, Known>) {
        if known.len() < MAX_KNOWN {
            return;
        }
        let members = locked(&self.members);
        let strangers = known.iter().filter(|(id, _)| !members.contains(id));
        let oldest = strangers.min_by_key(|(_, known)| known.met);
        if let Some(oldest) = oldest.map(|(node_id, _)| *node_id) {
            known.remove(&oldest);
        }
    }

    pub(super) fn envelope(&self, to: u64) -> pb::Envelope {
        pb::Envelope {
            cluster_id: self.cluster_id().map(cluster_id_to).unwrap_or_default(),
            from: self.me.node_id,
            to,
            incarnation: self.me.incarnation,
        }
    }
}
