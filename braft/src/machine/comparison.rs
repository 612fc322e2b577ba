//! Digests of the replicas' states, compared through the log: replicated, so that every replica comes
//! to the same verdict at the same entry.
//!
//! A mark is an entry at which each replica takes the digests of its state; their reports follow in
//! the log. What a majority of the voters reports is right, whoever leads; who differs is diverged
//! until it reports the same as they. Without a majority nobody is judged.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::digest::part_name;
use crate::member::Members;

/// The digest of each part of a state: of each service, of the sessions, timers and events.
pub(crate) type Digests = BTreeMap<String, u64>;

/// What is known of the replicas' states.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Comparison {
    /// Log index of the newest mark; 0 before the first.
    mark: u64,
    /// What each node reported of it.
    reports: BTreeMap<u64, Digests>,
    /// For each part, the newest mark at which a majority agreed, and the one before.
    agreed: BTreeMap<String, (u64, u64)>,
    diverged: BTreeMap<u64, Diverged>,
}

/// How a replica differs from the majority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Diverged {
    /// The parts that differ.
    pub(crate) parts: Vec<String>,
    /// Log index of the last mark at which a majority agreed on them, and of the mark at which this
    /// one differed.
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Comparison {
    /// Begins a comparison; one that is not decided by then never is.
    pub(super) fn begin(&mut self, index: u64) {
        self.mark = index;
        self.reports.clear();
    }

    /// Takes a member's report. True if the verdict has changed.
    pub(super) fn report(
        &mut self,
        node: u64,
        mark: u64,
        digests: Digests,
        members: &Members,
    ) -> bool {
        if mark != self.mark || !members.nodes.contains_key(&node) {
            return false;
        }
        self.reports.insert(node, digests);
        self.judge(members)
    }

    fn judge(&mut self, members: &Members) -> bool {
        let is_member = |node: &u64| members.nodes.contains_key(node);
        self.reports.retain(|node, _| is_member(node));
        let before = self.diverged.clone();
        self.diverged.retain(|node, _| is_member(node));
        let right = self.right(members);
        for part in right.keys() {
            let marks = self.agreed.entry((*part).to_owned()).or_default();
            if marks.0 != self.mark {
                *marks = (self.mark, marks.0);
            }
        }
        for (node, digests) in &self.reports {
            let differing = differing(digests, &right);
            if !differing.is_empty() {
                let from = differing.iter().filter_map(|part| self.agreed.get(part));
                let from = from.map(|(_, last)| *last).min().unwrap_or(0);
                let diverged = Diverged {
                    parts: differing,
                    from,
                    to: self.mark,
                };
                self.diverged.insert(*node, diverged);
                continue;
            }
            // Equal again where it had differed, as far as that is decided.
            // By name: it may run another binary by now.
            let is_equal = |part: &String| {
                let same = |other: &&String| part_name(other) == part_name(part);
                right
                    .keys()
                    .filter(same)
                    .any(|part| digests.contains_key(part))
            };
            let is_healed = |before: &Diverged| before.parts.iter().all(is_equal);
            if self.diverged.get(node).is_some_and(is_healed) {
                self.diverged.remove(node);
            }
        }
        self.diverged != before
    }

    /// Of each part on which a majority of the voters agrees, its digest.
    fn right(&self, members: &Members) -> Digests {
        let mut groups: BTreeMap<(&String, u64), BTreeSet<u64>> = BTreeMap::new();
        for (node, digests) in &self.reports {
            for (part, digest) in digests {
                groups.entry((part, *digest)).or_default().insert(*node);
            }
        }
        let majorities = groups.into_iter().filter(|(_, nodes)| {
            let is_majority =
                |config: &BTreeSet<u64>| config.intersection(nodes).count() > config.len() / 2;
            !members.configs.is_empty() && members.configs.iter().all(is_majority)
        });
        majorities
            .map(|((part, digest), _)| (part.clone(), digest))
            .collect()
    }

    /// Log index of the newest mark.
    pub(crate) fn mark(&self) -> u64 {
        self.mark
    }

    /// Log index of the newest mark at which a majority agreed on a part of the state; 0 before the
    /// first.
    pub(crate) fn agreed(&self) -> u64 {
        let marks = self.agreed.values().map(|(last, _)| *last);
        marks.max().unwrap_or(0)
    }

    /// Whether a node has reported on the newest mark.
    pub(crate) fn has_reported(&self, node: u64) -> bool {
        self.reports.contains_key(&node)
    }

    /// How a node differs, if it does.
    pub(crate) fn diverged(&self, node: u64) -> Option<&Diverged> {
        self.diverged.get(&node)
    }

    /// All that differ.
    pub(crate) fn all_diverged(&self) -> impl Iterator<Item = (u64, &Diverged)> {
        self.diverged.iter().map(|(node, how)| (*node, how))
    }

    /// Those that agree with the majority at the newest mark, in every part that is decided.
    pub(crate) fn healthy(&self, members: &Members) -> Vec<u64> {
        let right = self.right(members);
        if right.is_empty() {
            return Vec::new();
        }
        let reports = self.reports.iter();
        let agreeing = reports.filter(|(node, digests)| {
            let is_equal = |(part, digest)| digests.get(part) == Some(digest);
            right.iter().all(is_equal) && !self.diverged.contains_key(node)
        });
        agreeing.map(|(node, _)| *node).collect()
    }

    /// Parts on which the reports differ and no majority agrees; the newest mark, and the last one
    /// at which it did.
    pub(crate) fn disputed(&self, members: &Members) -> Vec<Diverged> {
        let right = self.right(members);
        let mut values: BTreeMap<&String, BTreeSet<u64>> = BTreeMap::new();
        for (part, digest) in self.reports.values().flatten() {
            values.entry(part).or_default().insert(*digest);
        }
        let disputed = values
            .into_iter()
            .filter(|(part, values)| values.len() > 1 && !right.contains_key(*part));
        let describe = |(part, _): (&String, _)| Diverged {
            parts: vec![part.clone()],
            from: self.agreed.get(part).map_or(0, |(last, _)| *last),
            to: self.mark,
        };
        disputed.map(describe).collect()
    }
}

/// The parts of a report that are not what they should be.
fn differing(digests: &Digests, right: &Digests) -> Vec<String> {
    let parts = digests.iter().filter(|(part, digest)| {
        let right = right.get(*part);
        right.is_some_and(|right| right != *digest)
    });
    parts.map(|(part, _)| part.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::NodeInfo;

    fn members(configs: &[&[u64]], learners: &[u64]) -> Members {
        let voters = configs.iter().copied().flatten();
        Members {
            configs: configs
                .iter()
                .map(|config| config.iter().copied().collect())
                .collect(),
            nodes: voters
                .chain(learners)
                .map(|id| (*id, NodeInfo::default()))
                .collect(),
        }
    }

    fn digests(parts: &[(&str, u64)]) -> Digests {
        let parts = parts.iter();
        parts
            .map(|(part, digest)| ((*part).to_owned(), *digest))
            .collect()
    }

    fn diverged(comparison: &Comparison) -> Vec<u64> {
        comparison.all_diverged().map(|(node, _)| node).collect()
    }

    /// A mark, and the reports of nodes 1, 2 and so on on one part.
    fn compare(comparison: &mut Comparison, mark: u64, members: &Members, values: &[u64]) {
        comparison.begin(mark);
        for (node, value) in (1..).zip(values) {
            comparison.report(node, mark, digests(&[("Counter", *value)]), members);
        }
    }

    #[test]
    fn the_majority_is_right_and_who_differs_is_named_with_the_log_range() {
        let members = members(&[&[1, 2, 3]], &[4]);
        for odd in 1..=4_usize {
            let mut comparison = Comparison::default();
            compare(&mut comparison, 10, &members, &[7, 7, 7, 7]);
            assert_eq!(comparison.healthy(&members), [1, 2, 3, 4]);
            let mut values = [8; 4];
            values[odd - 1] = 9;
            compare(&mut comparison, 20, &members, &values);
            assert_eq!(diverged(&comparison), [odd as u64]);
            assert_eq!(comparison.agreed(), 20);
            let how = comparison.diverged(odd as u64).unwrap();
            assert_eq!((how.from, how.to), (10, 20));
            assert_eq!(how.parts, ["Counter"]);
            assert!(!comparison.healthy(&members).contains(&(odd as u64)));
            compare(&mut comparison, 30, &members, &[9; 4]);
            assert_eq!(diverged(&comparison), [0; 0]);
        }
    }

    #[test]
    fn without_a_majority_nobody_is_judged() {
        for (voters, values) in [
            (&[1, 2][..], &[1, 2][..]),
            (&[1, 2, 3], &[1, 2, 3]),
            (&[1, 2, 3], &[1, 2]),
            (&[1, 2, 3, 4], &[1, 1, 2, 2]),
        ] {
            let members = members(&[voters], &[5]);
            let mut comparison = Comparison::default();
            compare(&mut comparison, 10, &members, values);
            assert_eq!(diverged(&comparison), [0; 0]);
            assert_eq!(comparison.healthy(&members), [0; 0]);
            assert_eq!(comparison.disputed(&members).len(), 1);
        }
    }

    #[test]
    fn learners_and_strangers_do_not_count() {
        let members = members(&[&[1, 2, 3]], &[4, 5]);
        let mut comparison = Comparison::default();
        comparison.begin(10);
        for (node, value) in [(1, 1), (4, 2), (5, 2), (6, 2), (7, 2), (2, 1)] {
            comparison.report(node, 10, digests(&[("Counter", value)]), &members);
        }
        assert_eq!(diverged(&comparison), [4, 5]);
    }

    #[test]
    fn both_sets_have_to_agree_while_the_members_change() {
        let members = members(&[&[1, 2, 3], &[3, 4, 5]], &[]);
        let mut comparison = Comparison::default();
        compare(&mut comparison, 10, &members, &[1, 1, 1, 2]);
        assert_eq!(diverged(&comparison), [0; 0]);
        comparison.report(5, 10, digests(&[("Counter", 1)]), &members);
        assert_eq!(diverged(&comparison), [4]);
    }

    #[test]
    fn a_report_on_an_earlier_mark_says_nothing() {
        let members = members(&[&[1, 2, 3]], &[]);
        let mut comparison = Comparison::default();
        comparison.begin(10);
        comparison.begin(20);
        for node in 1..=3 {
            comparison.report(node, 10, digests(&[("Counter", node)]), &members);
        }
        assert_eq!(comparison, {
            let mut untouched = Comparison::default();
            untouched.begin(20);
            untouched
        });
    }

    #[test]
    fn a_service_that_only_some_have_is_compared_among_those() {
        let members = members(&[&[1, 2, 3]], &[]);
        let mut comparison = Comparison::default();
        comparison.begin(10);
        comparison.report(1, 10, digests(&[("Counter", 1), ("Later", 5)]), &members);
        comparison.report(2, 10, digests(&[("Counter", 1)]), &members);
        comparison.report(3, 10, digests(&[("Counter", 1)]), &members);
        assert_eq!(diverged(&comparison), [0; 0]);
        assert!(comparison.disputed(&members).is_empty());
        assert_eq!(comparison.healthy(&members), [1, 2, 3]);
    }

    #[test]
    fn binaries_that_encode_a_state_differently_are_not_compared() {
        let members = members(&[&[1, 2, 3]], &[]);
        let mut comparison = Comparison::default();
        for mark in [10, 20] {
            comparison.begin(mark);
            comparison.report(1, mark, digests(&[("Counter#1", 1)]), &members);
            comparison.report(2, mark, digests(&[("Counter#1", 1)]), &members);
            // It differs, and is then replaced by another binary.
            let third = if mark == 10 { "Counter#1" } else { "Counter#2" };
            comparison.report(3, mark, digests(&[(third, 9)]), &members);
            assert_eq!(diverged(&comparison), [3]);
        }
        comparison.begin(30);
        for node in 1..=3 {
            comparison.report(node, 30, digests(&[("Counter#2", 7)]), &members);
        }
        assert_eq!(diverged(&comparison), [0; 0]);
    }

    #[test]
    fn the_record_survives_a_snapshot() {
        let members = members(&[&[1, 2, 3]], &[]);
        let mut comparison = Comparison::default();
        compare(&mut comparison, 10, &members, &[1, 1, 2]);
        let bytes = crate::codec::encode(&comparison).unwrap();
        let read: Comparison = crate::codec::decode(&bytes).unwrap();
        assert_eq!(read, comparison);
    }
}
