//! What has to hold of logs and states at each moment: of entries that are not committed yet, too, and
//! of states of which no answer has told.

use std::collections::BTreeMap;

use bytes::Bytes;

/// How far back logs are compared, from where they end together: more entries than are ever under way.
const DEPTH: u64 = 32;
/// Committed entries that are remembered; older ones are purged by then.
const MAX_COMMITTED: usize = 1_024;
/// Looks from one comparison of states to the next: to take a digest takes longer than all else.
const LOOKS_PER_DIGEST: u32 = 5;

/// A node's log and state as they are now.
pub(super) struct View<'a> {
    pub(super) place: usize,
    pub(super) term: u64,
    pub(super) leads: bool,
    /// Term and index.
    pub(super) committed: Option<(u64, u64)>,
    pub(super) applied: u64,
    /// The last index.
    pub(super) last: u64,
    pub(super) log: &'a dyn Log,
}

/// What is asked of a node.
pub(super) trait Log {
    /// The term of an entry, or of the last purged one.
    fn term_at(&self, index: u64) -> Option<u64>;

    /// What is in an entry, if it can be read.
    fn content(&self, index: u64) -> Option<(u8, Bytes)>;

    /// The index of the last applied entry and a digest of the state there; none of a node that
    /// serves nothing.
    fn digest(&self) -> Option<(u64, u64)>;
}

/// What was seen so far.
#[derive(Default)]
pub(super) struct Logs {
    /// By index, the terms of committed entries.
    committed: BTreeMap<u64, u64>,
    /// How far the log was committed, by the term of who knew.
    known_in: BTreeMap<u64, u64>,
    looks: u32,
    /// The last index at which states were compared.
    compared: u64,
    /// Two states that were not equal, the first that were found.
    unequal: Option<String>,
}

impl Logs {
    /// Looks at all nodes that run; says what must not be of their logs.
    pub(super) fn look(&mut self, nodes: &[View<'_>]) -> Option<String> {
        for node in nodes {
            if let Some(text) = self.committed_entries_stay(node) {
                return Some(text);
            }
        }
        self.compare_states(nodes);
        let mut leaders = nodes.iter().filter(|node| node.leads);
        leaders
            .find_map(|leader| self.leader_has_all(leader))
            .or_else(|| pairs(nodes).find_map(|(one, other)| logs_match(one, other)))
    }

    /// Two states that were not equal at one index. For the end: answers that differ say more.
    pub(super) fn unequal(&self) -> Option<&str> {
        self.unequal.as_deref()
    }

    /// What is committed on one node is what is committed there on each.
    fn committed_entries_stay(&mut self, node: &View<'_>) -> Option<String> {
        let (term, index) = node.committed?;
        let known_in = self.known_in.entry(node.term).or_default();
        *known_in = index.max(*known_in);
        self.committed.entry(index).or_insert(term);
        if self.committed.len() > MAX_COMMITTED {
            self.committed.pop_first();
        }
        let known = self.committed.range(index.saturating_sub(DEPTH)..=index);
        for (at, known) in known {
            let here = if *at == index {
                Some(term)
            } else {
                node.log.term_at(*at)
            };
            if let Some(here) = here.filter(|here| here != known) {
                return Some(format!(
                    "at log index {at} an entry of term {known} was committed, and node {} has one of \
                     term {here} committed there",
                    node.place
                ));
            }
        }
        None
    }

    /// Whoever leads has all that was committed by its term.
    fn leader_has_all(&self, leader: &View<'_>) -> Option<String> {
        let by_then = self.known_in.range(..=leader.term);
        let index = by_then.map(|(_, index)| *index).max()?;
        let (here, known) = (leader.log.term_at(index), self.committed.get(&index));
        let is_other = here.is_some() && known.is_some() && here.as_ref() != known;
        (leader.last < index || is_other).then(|| {
            format!(
                "node {} leads in term {} without the entry at log index {index}, which was committed \
                 by then",
                leader.place, leader.term
            )
        })
    }

    /// At equal indexes there are equal states.
    fn compare_states(&mut self, nodes: &[View<'_>]) {
        self.looks += 1;
        let level = |(one, other): &(&View<'_>, &View<'_>)| one.applied == other.applied;
        let index = pairs(nodes).find(level).map(|(one, _)| one.applied);
        let is_due = self.unequal.is_none() && self.looks.is_multiple_of(LOOKS_PER_DIGEST);
        if let Some(index) = index.filter(|index| is_due && *index != self.compared) {
            self.compared = index;
            self.unequal = unequal_states(nodes, index);
        }
    }
}

fn unequal_states(nodes: &[View<'_>], index: u64) -> Option<String> {
    let there = nodes.iter().filter(|node| node.applied == index);
    let digests = there.filter_map(|node| {
        let (at, digest) = node.log.digest()?;
        (at == index).then_some((node.place, digest))
    });
    let digests: Vec<_> = digests.collect();
    let (first, expected) = digests.first()?;
    let (other, _) = digests.iter().find(|(_, digest)| digest != expected)?;
    Some(format!(
        "node {first} and node {other} had different states at log index {index}"
    ))
}

/// Two logs that hold an entry of the same index and term are the same up to there.
fn logs_match(one: &View<'_>, other: &View<'_>) -> Option<String> {
    let last = one.last.min(other.last);
    let terms = (last.saturating_sub(DEPTH)..=last).rev().filter_map(|at| {
        let (here, there) = (one.log.term_at(at)?, other.log.term_at(at)?);
        Some((at, here == there))
    });
    let mut same_at = None;
    for (at, is_same) in terms {
        let differs = match same_at {
            None if is_same => {
                same_at = Some(at);
                let contents = (one.log.content(at), other.log.content(at));
                matches!(contents, (Some(here), Some(there)) if here != there)
            }
            None => false,
            Some(_) => !is_same,
        };
        if let Some(same) = same_at.filter(|_| differs) {
            return Some(format!(
                "the logs of node {} and node {} hold the same entry at log index {same}, and different \
                 ones at {at}",
                one.place, other.place
            ));
        }
    }
    None
}

fn pairs<'a, T>(all: &'a [T]) -> impl Iterator<Item = (&'a T, &'a T)> {
    let others =
        move |(at, one): (usize, &'a T)| all[at + 1..].iter().map(move |other| (one, other));
    all.iter().enumerate().flat_map(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The terms of a log's entries, whose content is their index; a digest of the state.
    struct Terms(&'static [u64], u64);

    impl Log for Terms {
        fn term_at(&self, index: u64) -> Option<u64> {
            self.0.get(usize::try_from(index).ok()?).copied()
        }

        fn content(&self, index: u64) -> Option<(u8, Bytes)> {
            // The first state stands for a log with other content.
            let first = self.1.to_le_bytes()[0];
            self.term_at(index).map(|_| (first, Bytes::new()))
        }

        fn digest(&self) -> Option<(u64, u64)> {
            Some((self.0.len() as u64 - 1, self.1))
        }
    }

    fn view(place: usize, term: u64, committed: u64, log: &Terms) -> View<'_> {
        View {
            place,
            term,
            leads: false,
            committed: log.term_at(committed).map(|term| (term, committed)),
            applied: log.0.len() as u64 - 1,
            last: log.0.len() as u64 - 1,
            log,
        }
    }

    fn seen(logs: &mut Logs, nodes: &[View<'_>]) -> String {
        logs.look(nodes).unwrap_or_default()
    }

    #[test]
    fn logs_that_differ_only_behind_their_last_common_entry_are_right() {
        let (one, other) = (Terms(&[1, 1, 2, 2], 0), Terms(&[1, 1, 3], 0));
        let nodes = [view(0, 2, 1, &one), view(1, 3, 1, &other)];
        assert_eq!(seen(&mut Logs::default(), &nodes), "");
    }

    #[test]
    fn logs_that_differ_before_a_common_entry_are_noted() {
        let (one, other) = (Terms(&[1, 1, 2, 3, 3], 0), Terms(&[1, 1, 1, 3], 0));
        let nodes = [view(0, 3, 1, &one), view(1, 3, 1, &other)];
        let text = seen(&mut Logs::default(), &nodes);
        assert!(text.contains("index 3, and different ones at 2"), "{text}");
    }

    #[test]
    fn an_entry_of_one_term_with_two_contents_is_noted() {
        let (one, other) = (Terms(&[1, 1], 0), Terms(&[1, 1, 1], 9));
        let nodes = [view(0, 1, 0, &one), view(1, 1, 0, &other)];
        let text = seen(&mut Logs::default(), &nodes);
        assert!(text.contains("index 1, and different ones at 1"), "{text}");
    }

    #[test]
    fn a_committed_entry_that_changes_is_noted() {
        let (before, after) = (Terms(&[1, 1, 2], 0), Terms(&[1, 1, 3, 3], 0));
        let mut logs = Logs::default();
        assert_eq!(seen(&mut logs, &[view(0, 2, 2, &before)]), "");
        // As long as it is not said to be committed there, another one may stand there.
        assert_eq!(seen(&mut logs, &[view(1, 3, 1, &after)]), "");
        let text = seen(&mut logs, &[view(1, 3, 3, &after)]);
        assert!(text.contains("index 2 an entry of term 2"), "{text}");
    }

    #[test]
    fn a_leader_without_a_committed_entry_is_noted_unless_its_term_is_older() {
        let (all, less) = (Terms(&[1, 1, 2], 0), Terms(&[1, 1], 0));
        let leading = |term| View {
            leads: true,
            ..view(1, term, 1, &less)
        };
        let mut logs = Logs::default();
        assert_eq!(seen(&mut logs, &[view(0, 3, 2, &all), leading(2)]), "");
        let text = seen(&mut logs, &[leading(4)]);
        assert!(text.contains("node 1 leads in term 4 without"), "{text}");
        let other = Terms(&[1, 1, 3, 3], 0);
        let leading = View {
            leads: true,
            ..view(1, 3, 1, &other)
        };
        let text = seen(&mut logs, &[leading]);
        assert!(text.contains("without the entry at log index 2"), "{text}");
    }

    #[test]
    fn different_states_at_one_index_are_noted() {
        // Their low bytes, which stand for the content of the logs, are the same.
        let (one, other) = (Terms(&[1, 1], 0), Terms(&[1, 1], 256));
        let mut logs = Logs::default();
        let nodes = [view(0, 1, 1, &one), view(1, 1, 1, &other)];
        for _ in 0..LOOKS_PER_DIGEST {
            assert_eq!(logs.unequal(), None);
            assert_eq!(seen(&mut logs, &nodes), "");
        }
        let text = logs.unequal().unwrap_or_default();
        assert!(text.contains("node 0 and node 1 had different states at log index 1"));
    }

    #[test]
    fn states_at_different_indexes_may_differ() {
        let (one, other) = (Terms(&[1, 1], 0), Terms(&[1, 1, 1], 256));
        let mut logs = Logs::default();
        for _ in 0..LOOKS_PER_DIGEST {
            let nodes = [view(0, 1, 1, &one), view(1, 1, 1, &other)];
            assert_eq!(seen(&mut logs, &nodes), "");
        }
        assert_eq!(logs.unequal(), None);
    }
}
