//! Who the peers are and where they answer.
//!
//! A peer is dialed at the address that last completed a handshake for its id; committed addresses
//! are hints, since all of them may change at once. No raft message is taken from a process that
//! has not shaken hands: that keeps foreign clusters, wiped nodes and copied disks out.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::watch;
use tonic::Status;
use tonic::transport::Channel;

use crate::member::display_id;
use crate::net::Dialer;
use crate::wire::convert::{cluster_id_from, cluster_id_to};
use crate::wire::v1 as pb;

/// The version of what nodes say to each other.
pub(crate) const PROTOCOL: u32 = 1;
/// Incarnations of one node that are remembered as over.
const MAX_PAST_INCARNATIONS: usize = 16;

/// Who this process is.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) cluster_name: String,
    pub(crate) node_id: u64,
    /// Drawn at each start: two processes with one node id differ in it.
    pub(crate) incarnation: u64,
    /// Where this node is reached: "host:port".
    pub(crate) address: String,
    pub(crate) timers: Timers,
}

/// Timers that the members have to share for leases and elections to be safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timers {
    pub(crate) heartbeat_ms: u32,
    pub(crate) election_min_ms: u32,
    pub(crate) election_max_ms: u32,
}

/// The address book and the rules of the handshake.
#[derive(Debug)]
pub(crate) struct Peers {
    pub(super) me: Identity,
    pub(super) dialer: Dialer,
    cluster_id: OnceLock<u128>,
    known: Mutex<BTreeMap<u64, Known>>,
    pub(super) channels: Mutex<HashMap<(u64, Lane), Channel>>,
    /// Why a peer could not be reached when it was last dialed; nothing once it could.
    pub(super) troubles: Mutex<BTreeMap<u64, String>>,
    /// Set when another process turns out to run with this node's id.
    pub(super) doubled: watch::Sender<Option<String>>,
}

#[derive(Debug, Default)]
struct Known {
    address: String,
    incarnation: u64,
    past: VecDeque<u64>,
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

impl Peers {
    pub(crate) fn new(me: Identity, dialer: Dialer, cluster_id: Option<u128>) -> Self {
        let id = OnceLock::new();
        if let Some(cluster_id) = cluster_id {
            id.set(cluster_id).expect("the lock is new");
        }
        Peers {
            me,
            dialer,
            cluster_id: id,
            known: Mutex::default(),
            channels: Mutex::default(),
            troubles: Mutex::default(),
            doubled: watch::Sender::new(None),
        }
    }

    /// Why this node must stop: another process runs with its id.
    pub(crate) fn watch_doubled(&self) -> watch::Receiver<Option<String>> {
        self.doubled.subscribe()
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

    /// The address that last completed a handshake for a node id.
    pub(crate) fn address_of(&self, node_id: u64) -> Option<String> {
        locked(&self.known)
            .get(&node_id)
            .map(|known| known.address.clone())
    }

    /// Why the node could not be reached when it was last dialed; `None` if it could.
    pub(crate) fn trouble_with(&self, node_id: u64) -> Option<String> {
        locked(&self.troubles).get(&node_id).cloned()
    }

    pub(super) fn envelope(&self, to: u64) -> pb::Envelope {
        pb::Envelope {
            cluster_id: self.cluster_id().map(cluster_id_to).unwrap_or_default(),
            from: self.me.node_id,
            to,
            incarnation: self.me.incarnation,
        }
    }

    /// Whether a raft message may be looked at.
    pub(super) fn admit(&self, envelope: Option<&pb::Envelope>) -> Result<(), Status> {
        let refused = |text: String| Err(Status::failed_precondition(text));
        let Some(envelope) = envelope else {
            return Err(Status::invalid_argument("field envelope is missing"));
        };
        let cluster_id = cluster_id_from(&envelope.cluster_id).ok();
        if cluster_id.is_none() || cluster_id != self.cluster_id() {
            return refused(format!(
                "this node belongs to {}, the sender to {}",
                cluster_text(self.cluster_id()),
                cluster_text(cluster_id)
            ));
        }
        if envelope.to != self.me.node_id {
            return refused(format!(
                "this is node {}, not {}",
                display_id(self.me.node_id),
                display_id(envelope.to)
            ));
        }
        match locked(&self.known).get(&envelope.from) {
            Some(known) if known.incarnation == envelope.incarnation => Ok(()),
            Some(known) if known.past.contains(&envelope.incarnation) => {
                let text = two_processes(envelope.from, &known.address);
                tracing::error!("{text}");
                refused(text)
            }
            _ => refused("shake hands first".to_owned()),
        }
    }

    /// Answers a handshake; remembers where the caller is.
    pub(crate) async fn answer_handshake(
        &self,
        request: pb::HandshakeRequest,
    ) -> Result<pb::HandshakeResponse, Status> {
        self.check_stranger(&request)?;
        if request.node_id == self.me.node_id && request.incarnation != self.me.incarnation {
            let text = two_processes(self.me.node_id, &request.address);
            tracing::error!("{text}");
            return Err(Status::already_exists(text));
        }
        let same_cluster = !request.cluster_id.is_empty();
        if request.node_id != 0 && same_cluster && request.node_id != self.me.node_id {
            self.meet(request.node_id, request.incarnation, &request.address)
                .await?;
        }
        Ok(self.introduce())
    }

    fn introduce(&self) -> pb::HandshakeResponse {
        pb::HandshakeResponse {
            cluster_id: self.cluster_id().map(cluster_id_to).unwrap_or_default(),
            cluster_name: self.me.cluster_name.clone(),
            node_id: self.me.node_id,
            incarnation: self.me.incarnation,
            address: self.me.address.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            heartbeat_ms: self.me.timers.heartbeat_ms,
            election_min_ms: self.me.timers.election_min_ms,
            election_max_ms: self.me.timers.election_max_ms,
        }
    }

    fn check_stranger(&self, request: &pb::HandshakeRequest) -> Result<(), Status> {
        if request.protocol != PROTOCOL {
            return Err(Status::failed_precondition(format!(
                "this node speaks protocol {PROTOCOL} (braft {}), the caller {} (braft {}); \
                 upgrade the older one",
                env!("CARGO_PKG_VERSION"),
                request.protocol,
                request.version
            )));
        }
        if request.cluster_id.is_empty() {
            return Ok(());
        }
        let theirs = cluster_id_from(&request.cluster_id)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        if self.cluster_id().is_some_and(|ours| ours != theirs) {
            let text = format!(
                "node {} at {} belongs to {}, this node to {}; clusters never merge: \
                 give one of them another cluster name or address list",
                display_id(request.node_id),
                request.address,
                cluster_text(Some(theirs)),
                cluster_text(self.cluster_id())
            );
            tracing::warn!("{text}");
            return Err(Status::failed_precondition(text));
        }
        Ok(())
    }

    /// Takes note of a process that says it is `node_id`.
    pub(super) async fn meet(
        &self,
        node_id: u64,
        incarnation: u64,
        address: &str,
    ) -> Result<(), Status> {
        let before = {
            let known = locked(&self.known);
            known
                .get(&node_id)
                .map(|known| (known.incarnation, known.address.clone()))
        };
        if let Some((current, old_address)) = before
            && current != incarnation
            && old_address != address
        {
            // Two processes, or one that moved? The old address decides.
            let alive = self.probe(&old_address).await;
            if alive
                .is_some_and(|answer| answer.node_id == node_id && answer.incarnation == current)
            {
                let text = two_processes(node_id, &old_address);
                tracing::error!("{text}");
                return Err(Status::already_exists(text));
            }
        }
        let mut all = locked(&self.known);
        let known = all.entry(node_id).or_default();
        if known.past.contains(&incarnation) {
            let text = two_processes(node_id, &known.address);
            return Err(Status::already_exists(text));
        }
        if known.incarnation != incarnation {
            if known.incarnation != 0 {
                if known.past.len() >= MAX_PAST_INCARNATIONS {
                    known.past.pop_front();
                }
                known.past.push_back(known.incarnation);
            }
            known.incarnation = incarnation;
        }
        address.clone_into(&mut known.address);
        Ok(())
    }
}

fn cluster_text(id: Option<u128>) -> String {
    id.map_or_else(
        || "no cluster".to_owned(),
        |id| format!("cluster {id:032x}"),
    )
}

fn two_processes(node_id: u64, address: &str) -> String {
    format!(
        "two processes run with node id {}, one of them at {address}: a data directory was \
         copied; stop one of them and give it an empty data directory",
        display_id(node_id)
    )
}
