//! What has to hold at each moment, whatever happens to the cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::super::record::Record;
use super::logs::Logs;
use super::reading::{Reading, note_unread, view_of};
use crate::leadership::LeaderToken;
use crate::member::StoredMembers;
use crate::raft::Role;
use crate::service::Service;
use crate::testing::cluster::{Cluster, TestNode};

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
    logs: Logs,
}

impl Invariants {
    pub(super) fn new(now: Instant) -> Self {
        Invariants {
            disturbed: now,
            progress: BTreeMap::new(),
            cluster_id: None,
            members: StoredMembers::default(),
            logs: Logs::default(),
        }
    }

    /// Something is wrong at this moment.
    pub(super) fn disturbed(&mut self) {
        self.disturbed = Instant::now();
    }

    /// Two states that were not equal, though they were made by the same log.
    pub(super) fn unequal(&self) -> Option<&str> {
        self.logs.unequal()
    }

    /// Looks at all nodes that run, and notes what must not be.
    /// What cannot be read is one of them, unless the disk of that node is at fault.
    pub(super) fn look<S: Service>(
        &mut self,
        cluster: &Cluster<S>,
        record: &Record,
        disk_is_at_fault: impl Fn(TestNode) -> bool,
    ) {
        let places = self.look_at_nodes(cluster, record, disk_is_at_fault);
        for (_, node) in cluster.running() {
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

    /// Looks at all but who was removed: whether there was a reason, the next [`look`](Self::look) judges.
    /// Where each node id was seen.
    pub(super) fn look_at_nodes<S: Service>(
        &mut self,
        cluster: &Cluster<S>,
        record: &Record,
        disk_is_at_fault: impl Fn(TestNode) -> bool,
    ) -> BTreeMap<u64, usize> {
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
        let rafts = running.iter();
        let rafts = rafts.filter_map(|(place, node)| Some((*place, node.core().raft()?)));
        let logs: Vec<_> = rafts
            .map(|(place, raft)| Reading::of(place, raft))
            .collect();
        let views: Vec<_> = logs.iter().map(view_of).collect();
        if let Some(text) = self.logs.look(&views) {
            record.broke(text);
        }
        note_unread(&logs, record, disk_is_at_fault);
        places
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::{Members, NodeInfo};

    fn members(index: u64, ids: &[u64]) -> StoredMembers {
        StoredMembers {
            log_id: Some((1, index)),
            members: Members {
                configs: vec![ids.iter().copied().collect()],
                nodes: ids.iter().map(|id| (*id, NodeInfo::default())).collect(),
            },
        }
    }

    fn text(record: &Record) -> Option<String> {
        record.read().1.map(|difference| difference.text)
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_goes_in_calm_is_noted_and_one_that_had_trouble_is_not() {
        for (calm, noted) in [(CALM, true), (CALM / 2, false)] {
            let record = Record::new("S");
            let mut invariants = Invariants::new(Instant::now());
            let places = [(7, 0), (8, 1), (9, 2)].into();
            invariants.nobody_removed_for_nothing(members(1, &[7, 8, 9]), &places, &record);
            tokio::time::sleep(CALM).await;
            invariants.disturbed();
            tokio::time::sleep(calm).await;
            invariants.nobody_removed_for_nothing(members(2, &[7, 9]), &places, &record);
            let text = text(&record);
            assert_eq!(text.is_some(), noted, "{text:?}");
            assert!(text.is_none_or(|text| text.contains("node 1 was removed")));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_runs_no_more_may_go() {
        let record = Record::new("S");
        let mut invariants = Invariants::new(Instant::now());
        // Its disk was lost: another id runs in its place.
        let places = [(7, 0), (10, 1), (9, 2)].into();
        invariants.nobody_removed_for_nothing(members(1, &[7, 8, 9]), &places, &record);
        tokio::time::sleep(2 * CALM).await;
        invariants.nobody_removed_for_nothing(members(2, &[7, 9, 10]), &places, &record);
        assert_eq!(text(&record), None);
    }

    #[tokio::test]
    async fn a_second_cluster_and_a_step_back_are_noted() {
        let now = Instant::now();
        let at = |term, index| Progress {
            term,
            committed: Some((term, index)),
            applied: Some((term, index)),
        };
        let record = Record::new("S");
        let mut invariants = Invariants::new(now);
        invariants.never_back(0, 5, at(2, 9), &record);
        // Another process of the node begins with what is on its disk.
        invariants.never_back(0, 6, at(1, 3), &record);
        invariants.one_cluster(0, Some(4), &record);
        invariants.one_cluster(1, None, &record);
        assert_eq!(text(&record), None);
        invariants.never_back(0, 5, at(2, 8), &record);
        assert!(text(&record).is_some_and(|text| text.contains("went back")));
        let record = Record::new("S");
        invariants.one_cluster(1, Some(5), &record);
        assert!(text(&record).is_some_and(|text| text.contains("two clusters")));
    }
}
