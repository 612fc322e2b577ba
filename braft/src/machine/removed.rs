//! Which nodes are no longer members, and why: replicated, so that every later leader knows.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::member::{Members, NodeInfo, Removal};

/// Removed nodes kept on record; beyond it the oldest goes, those that may come back first.
const MAX_REMOVED: usize = 256;

/// A node that is no longer a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RemovedNode {
    pub(crate) removal: Removal,
    /// Log id (term, index) of the first membership without it.
    pub(crate) log_id: (u64, u64),
    /// Log time of the removal.
    pub(crate) at: Duration,
    /// What was committed about it.
    pub(crate) info: NodeInfo,
}

/// The nodes that were removed, and those that are about to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RemovedNodes {
    nodes: BTreeMap<u64, RemovedNode>,
    /// Reasons that await the membership that carries them out.
    announced: BTreeMap<u64, Removal>,
}

impl RemovedNodes {
    /// Notes why a member is about to be removed.
    pub(super) fn announce(&mut self, node_id: u64, removal: Removal) {
        if self.announced.len() >= MAX_REMOVED && !self.announced.contains_key(&node_id) {
            self.announced.pop_first();
        }
        self.announced.insert(node_id, removal);
    }

    /// Takes note of a new membership: who is gone, and who is back.
    pub(super) fn changed(
        &mut self,
        log_id: (u64, u64),
        at: Duration,
        old: &Members,
        new: &Members,
    ) {
        for (node_id, info) in &old.nodes {
            if new.nodes.contains_key(node_id) {
                continue;
            }
            // A leader announces each removal; one that is not was cut short by a failover.
            let removal = self.announced.remove(node_id).unwrap_or(Removal::Dead);
            let info = info.clone();
            let removed = RemovedNode {
                removal,
                log_id,
                at,
                info,
            };
            self.nodes.insert(*node_id, removed);
        }
        for node_id in new.nodes.keys().filter(|id| !old.nodes.contains_key(id)) {
            self.nodes.remove(node_id);
            self.announced.remove(node_id);
        }
        while self.nodes.len() > MAX_REMOVED {
            let stays_out = |removed: &RemovedNode| removed.removal == Removal::Operator;
            let oldest = self
                .nodes
                .iter()
                .min_by_key(|(_, removed)| (stays_out(removed), removed.log_id));
            let oldest = *oldest.expect("there are too many").0;
            self.nodes.remove(&oldest);
        }
    }

    pub(crate) fn get(&self, node_id: u64) -> Option<&RemovedNode> {
        self.nodes.get(&node_id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &RemovedNode)> {
        self.nodes
            .iter()
            .map(|(node_id, removed)| (*node_id, removed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(ids: &[u64]) -> Members {
        Members {
            configs: vec![ids.iter().copied().collect()],
            nodes: ids.iter().map(|id| (*id, NodeInfo::default())).collect(),
        }
    }

    fn removal(removed: &RemovedNodes, id: u64) -> Option<Removal> {
        removed.get(id).map(|removed| removed.removal)
    }

    #[test]
    fn a_removed_node_is_kept_with_its_reason_until_it_is_back() {
        let mut removed = RemovedNodes::default();
        removed.announce(3, Removal::Operator);
        assert_eq!(removal(&removed, 3), None);
        removed.changed(
            (1, 7),
            Duration::ZERO,
            &members(&[1, 2, 3]),
            &members(&[1, 2]),
        );
        assert_eq!(removal(&removed, 3), Some(Removal::Operator));
        assert_eq!(removed.get(3).map(|node| node.log_id), Some((1, 7)));
        removed.changed(
            (1, 8),
            Duration::ZERO,
            &members(&[1, 2]),
            &members(&[1, 2, 3]),
        );
        assert_eq!(removal(&removed, 3), None);
    }

    #[test]
    fn a_node_that_came_back_is_not_removed_for_an_old_reason() {
        let mut removed = RemovedNodes::default();
        removed.announce(3, Removal::Operator);
        removed.changed((1, 1), Duration::ZERO, &members(&[1]), &members(&[1, 3]));
        removed.changed((1, 2), Duration::ZERO, &members(&[1, 3]), &members(&[1]));
        assert_eq!(removal(&removed, 3), Some(Removal::Dead));
    }

    #[test]
    fn the_record_is_bounded_and_forgets_those_that_may_come_back_first() {
        let mut removed = RemovedNodes::default();
        removed.announce(1, Removal::Operator);
        for id in 1..=2 * MAX_REMOVED as u64 {
            removed.announce(1_000_000 + id, Removal::Dead);
            removed.changed((1, id), Duration::ZERO, &members(&[0, id]), &members(&[0]));
        }
        assert_eq!(removed.iter().count(), MAX_REMOVED);
        assert!(removed.announced.len() <= MAX_REMOVED);
        assert_eq!(removal(&removed, 1), Some(Removal::Operator));
        assert_eq!(removal(&removed, 2), None);
    }
}
