//! What has to hold at each moment, whatever happens to the cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::super::record::Record;
use crate::leadership::LeaderToken;
use crate::member::StoredMembers;
use crate::raft::Role;
use crate::service::Service;
use crate::testing::cluster::Cluster;

/// A member that is removed while nothing has happened for so long had no reason to be silent. Not
/// more than the shortest silence that makes a member dead.
pub(in super::super) const CALM: Duration = Duration::from_secs(4);

/// How far a process has come.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    term: u64,
    committed: Option<(u64, u64)>,
    applied: Option<(u64, u64)>,
}

/// What was seen so far.
pub(super) struct Invariants {
    /// The last time at which something was wrong with some node.
    disturbed: Instant,
    /// By incarnation: a process is never behind where it has been.
    progress: BTreeMap<u64, Progress>,
    cluster_id: Option<u128>,
    /// The latest membership that a replica has applied.
    members: StoredMembers,
}

impl Invariants {
    pub(super) fn new(now: Instant) -> Self {
        Invariants {
            disturbed: now,
            progress: BTreeMap::new(),
            cluster_id: None,
            members: StoredMembers::default(),
        }
    }

    /// Something is wrong at this moment.
    pub(super) fn disturbed(&mut self) {
        self.disturbed = Instant::now();
    }

    /// Looks at all nodes that run, and notes what must not be.
    pub(super) fn look<S: Service>(&mut self, cluster: &Cluster<S>, record: &Record) {
        let running = cluster.running();
        let mut holders: Vec<(usize, LeaderToken)> = Vec::new();
        let mut places: BTreeMap<u64, usize> = BTreeMap::new();
        for (place, node) in &running {
            let (place, core) = (place.0, node.core());
            let me = core.peers().me();
            if let Some(other) = places.insert(me.node_id, place) {
                record.broke(format!("node {other} and node {place} run under one id"));
            }
            self.one_cluster(place, core.peers().cluster_id(), record);
            let Some(raft) = core.raft() else {
                continue;
            };
            let view = raft.view();
            if view.role == Role::Leader {
                record.leads(view.term, place);
            }
            let now = Progress {
                term: view.term,
                committed: view.committed,
                applied: view.applied,
            };
            self.never_back(place, me.incarnation, now, record);
            let token = raft.lease().tokens().borrow().clone();
            if let Some(token) = token.filter(LeaderToken::is_valid) {
                holders.push((place, token));
            }
        }
        // A token that is over is never valid again: the first was valid all along.
        if let [(one, token), (other, _), ..] = &holders[..]
            && token.is_valid()
        {
            record.two_tokens(*one, *other);
        }
        for (_, node) in &running {
            let newer = node.core().raft().and_then(|raft| {
                let newer = |members: &StoredMembers| members.log_id > self.members.log_id;
                raft.machine()
                    .glance(|replica| newer(replica.members()).then(|| replica.members().clone()))?
            });
            if let Some(members) = newer {
                self.nobody_removed_for_nothing(members, &places, record);
            }
        }
    }

    fn one_cluster(&mut self, place: usize, cluster_id: Option<u128>, record: &Record) {
        let Some(id) = cluster_id else { return };
        let known = *self.cluster_id.get_or_insert(id);
        if known != id {
            record.broke(format!(
                "two clusters formed: node {place} belongs to {id:032x}, others to {known:032x}"
            ));
        }
    }

    fn never_back(&mut self, place: usize, incarnation: u64, now: Progress, record: &Record) {
        let last = self.progress.insert(incarnation, now).unwrap_or_default();
        if now.term < last.term || now.committed < last.committed || now.applied < last.applied {
            record.broke(format!(
                "node {place} went back: from term {}, committed {:?}, applied {:?} to {}, {:?}, \
                 {:?}",
                last.term, last.committed, last.applied, now.term, now.committed, now.applied
            ));
        }
    }

    fn nobody_removed_for_nothing(
        &mut self,
        members: StoredMembers,
        places: &BTreeMap<u64, usize>,
        record: &Record,
    ) {
        let before = std::mem::replace(&mut self.members, members);
        if self.disturbed.elapsed() < CALM {
            return;
        }
        let now = &self.members.members.nodes;
        let gone = before
            .members
            .nodes
            .keys()
            .filter(|id| !now.contains_key(id));
        for place in gone.filter_map(|id| places.get(id)) {
            record.broke(format!(
                "node {place} was removed, and nothing had been wrong with any node for {CALM:?}"
            ));
        }
    }
}
