//! The one raft type configuration of this crate, and conversions to plain types.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use openraft::entry::RaftEntry;

use crate::machine::Answers;
use crate::member::{Members, NodeInfo, StoredMembers};

/// The batch of commands in one log entry, encoded by [`EntryWriter`](crate::entry::EntryWriter).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Batch(pub(crate) Bytes);

// Payloads are the user's data: never in a log line.
impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch of {} bytes", self.0.len())
    }
}

/// The types raft is made of here.
#[derive(Debug, Clone, Copy, Default, Eq, PartialEq, Ord, PartialOrd)]
pub(crate) struct TypeConfig;

impl openraft::RaftTypeConfig for TypeConfig {
    type D = Batch;
    type R = Answers;
    type NodeId = u64;
    type Node = NodeInfo;
    type Term = u64;
    // One leader per term: terms serve as fencing numbers, and election safety can be checked.
    type LeaderId = LeaderId;
    type Vote = Vote;
    type Payload = Payload;
    type Entry = Entry;
    type AsyncRuntime = super::runtime::Runtime;
    type Responder<T>
        = super::responder::Responder<T>
    where
        T: Send + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: Send + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

pub(crate) type LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>;
pub(crate) type CommittedLeaderId = <LeaderId as openraft::vote::RaftLeaderId>::Committed;
pub(crate) type Vote = openraft::impls::Vote<LeaderId>;
pub(crate) type LogId = openraft::LogId<CommittedLeaderId>;
pub(crate) type Payload = openraft::EntryPayload<Batch, u64, NodeInfo>;
pub(crate) type Entry = openraft::Entry<CommittedLeaderId, Payload>;
pub(crate) type Membership = openraft::Membership<u64, NodeInfo>;
pub(crate) type StoredMembership = openraft::StoredMembership<CommittedLeaderId, u64, NodeInfo>;

pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId {
        leader_id: CommittedLeaderId::new(term),
        index,
    }
}

/// A log id as (term, index).
pub(crate) fn plain(id: &LogId) -> (u64, u64) {
    (id.leader_id.term, id.index)
}

pub(crate) fn entry(term: u64, index: u64, payload: Payload) -> Entry {
    Entry::new(log_id(term, index), payload)
}

pub(crate) fn members_of(membership: &Membership) -> Members {
    Members {
        configs: membership.get_joint_config().clone(),
        nodes: membership
            .nodes()
            .map(|(id, node)| (*id, node.clone()))
            .collect(),
    }
}

/// The membership of a record; `None` if a voter of it is not among its nodes.
pub(crate) fn membership_of(members: &Members) -> Option<Membership> {
    // An empty record is the membership of a node that is in no cluster yet.
    if members.configs.is_empty() {
        return Some(Membership::default());
    }
    let nodes: BTreeMap<_, _> = members.nodes.clone();
    Membership::new(members.configs.clone(), nodes).ok()
}

pub(crate) fn stored_membership_of(stored: &StoredMembers) -> Option<StoredMembership> {
    let id = stored.log_id.map(|(term, index)| log_id(term, index));
    Some(StoredMembership::new(id, membership_of(&stored.members)?))
}
