//! Followers that are let go of: what they keep of the log costs too much.
//!
//! Raft purges nothing that is on its way to a follower. One that is heard, but takes in the log slowly or
//! not at all, as with a disk that is stuck, would have it grow until the leader's disk is full. Once its
//! stream of entries is ended, raft gives it a snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::purging::{Purging, needed, purged};
use crate::raft::{RaftNode, RaftView, Role};

/// For so long nobody is let go of after somebody was: raft is about to give those a snapshot. A follower
/// of which raft does not know how far its log reaches, as after an election, has as long to say so; and
/// one that lags while the disk is low, to catch up.
const MOMENT: Duration = Duration::from_secs(5);

/// Followers that hold more of the log than all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holders {
    pub(super) ids: BTreeSet<u64>,
    /// Up to where the furthest of them has the log.
    pub(super) from: u64,
    /// Up to where the log would go without them.
    pub(super) upto: u64,
}

/// Decides who is let go of.
#[derive(Debug, Default)]
pub(super) struct LettingGo {
    /// When somebody was last let go of.
    last: Option<Instant>,
    /// Who lags while the disk is low, since when.
    lagging: Option<(Holders, Instant)>,
}

impl LettingGo {
    /// Who is to be let go of now.
    pub(super) fn due(
        &mut self,
        purging: &Purging,
        raft: &RaftNode,
        disk_is_low: bool,
    ) -> Option<Holders> {
        // Whoever lagged must be found again.
        let lagging = self.lagging.take();
        if self.last.is_some_and(|at| at.elapsed() < MOMENT) || purging.spares(raft, disk_is_low) {
            return None;
        }
        let view = raft.view();
        let held = purging.held(&view)?;
        let given = raft.given().into_keys().collect();
        let silent = raft.streams_older_than(MOMENT);
        let all = holders(&view, raft.id(), &given, &silent, purging.silence(), held);
        let from = all.first()?.from;
        // What a purge would not free is not kept for their sake.
        let kept_from = |index| {
            let whole = raft.wal().bytes_upto(held);
            whole.saturating_sub(raft.wal().bytes_upto(index))
        };
        let is_too_much = |index| purging.is_too_much(raft, kept_from(index));
        if is_too_much(from) {
            return enough(all, is_too_much);
        }
        let frees = |holders: &Holders| kept_from(from) > kept_from(holders.upto);
        let in_the_way = all.into_iter().find(frees).filter(|_| disk_is_low)?;
        self.lagging_for_long(lagging, in_the_way, Instant::now())
    }

    /// Somebody was let go of.
    pub(super) fn done(&mut self) {
        self.last = Some(Instant::now());
    }

    /// Those who have not got any further than where they were in the way a moment ago.
    fn lagging_for_long(
        &mut self,
        before: Option<(Holders, Instant)>,
        found: Holders,
        now: Instant,
    ) -> Option<Holders> {
        let lags = |before: &Holders| before.ids == found.ids && found.from < before.upto;
        let before = before.filter(|(before, _)| lags(before));
        let (_, since) = self
            .lagging
            .insert(before.unwrap_or_else(|| (found.clone(), now)));
        (now.duration_since(*since) >= MOMENT).then_some(found)
    }
}

/// The fewest of them without whom what is kept is not too much; all if it is even then.
fn enough(mut all: Vec<Holders>, is_too_much_from: impl Fn(u64) -> bool) -> Option<Holders> {
    let enough = all.iter().position(|few| !is_too_much_from(few.upto));
    all.truncate(enough.map_or(usize::MAX, |at| at + 1));
    all.pop()
}

/// The follower that holds most of the log, then that and the next one, and so on, each with how far the log
/// would go without them. The log is too long by now to be kept for those who are given a snapshot.
fn holders(
    view: &RaftView,
    me: u64,
    given: &BTreeSet<u64>,
    silent: &BTreeSet<u64>,
    silence: Duration,
    held: u64,
) -> Vec<Holders> {
    if view.role != Role::Leader {
        return Vec::new();
    }
    let matched = |id: &u64| view.matched.as_ref()?.get(id).copied().flatten();
    let purged = purged(view);
    let mut without = view.clone();
    let nodes = &mut without.members.members.nodes;
    // Those are sent no log.
    nodes.retain(|id, _| *id != me && !given.contains(id));
    // Of who has less than what is purged, or nothing that raft knows of, raft is asking how far its log
    // reaches, which keeps the log as well.
    let holding = nodes.keys().filter_map(|id| match matched(id) {
        Some(index) if index >= purged => Some((index, *id)),
        _ => silent.contains(id).then_some((purged, *id)),
    });
    let mut holding: Vec<_> = holding.filter(|(index, _)| *index < held).collect();
    holding.sort_unstable();

    let mut ids = BTreeSet::new();
    let mut all = Vec::new();
    for (from, id) in holding {
        without.members.members.nodes.remove(&id);
        ids.insert(id);
        let needed = needed(&without, me, &BTreeMap::new(), silence);
        let upto = needed.map_or(held, |needed| needed.min(held));
        if upto > from {
            let ids = ids.clone();
            all.push(Holders { ids, from, upto });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::snapshots::tests::view;
    use super::*;

    const SILENCE: Duration = Duration::from_secs(60);

    /// A leader with a snapshot up to 100, whose log begins after 40.
    fn leader(matched: &[(u64, Option<u64>)], heard: &[u64]) -> RaftView {
        let mut ids: Vec<_> = matched.iter().map(|(id, _)| *id).collect();
        ids.push(1);
        RaftView {
            snapshot: Some((1, 100)),
            purged: Some((1, 40)),
            matched: Some(matched.iter().copied().collect()),
            ..view(Role::Leader, &ids, heard)
        }
    }

    /// Who, from where, up to where; of a log that may go up to 95.
    fn of(view: &RaftView, given: &[u64], silent: &[u64]) -> Vec<(Vec<u64>, u64, u64)> {
        let (given, silent) = (
            given.iter().copied().collect(),
            silent.iter().copied().collect(),
        );
        let all = holders(view, 1, &given, &silent, SILENCE, 95);
        let plain = |found: Holders| (found.ids.into_iter().collect(), found.from, found.upto);
        all.into_iter().map(plain).collect()
    }

    #[test]
    fn the_log_goes_as_far_as_the_others_let_it() {
        let ahead = leader(&[(2, Some(120)), (3, Some(60))], &[2, 3]);
        assert_eq!(of(&ahead, &[], &[]), [(vec![3], 60, 95)]);
        let both = leader(&[(2, Some(90)), (3, Some(60))], &[2, 3]);
        let expected = [(vec![3], 60, 90), (vec![2, 3], 90, 95)];
        assert_eq!(of(&both, &[], &[]), expected);
        // Raft may be sending to one that is not heard, too.
        let unheard = leader(&[(2, Some(120)), (3, Some(60))], &[2]);
        assert_eq!(of(&unheard, &[], &[]), [(vec![3], 60, 95)]);
    }

    #[test]
    fn those_that_hold_just_as_much_are_let_go_of_together() {
        let level = leader(&[(2, Some(60)), (3, Some(60)), (4, Some(120))], &[2, 3, 4]);
        assert_eq!(of(&level, &[], &[]), [(vec![2, 3], 60, 95)]);
    }

    #[test]
    fn who_holds_nothing_that_may_go_is_not_let_go_of() {
        let there = leader(&[(2, Some(120)), (3, Some(95))], &[2, 3]);
        assert_eq!(of(&there, &[], &[]), []);
        let follower = RaftView {
            role: Role::Follower,
            ..leader(&[(2, Some(120)), (3, Some(60))], &[2, 3])
        };
        assert_eq!(of(&follower, &[], &[]), []);
    }

    #[test]
    fn who_is_given_a_snapshot_is_not_let_go_of_and_is_not_in_the_way() {
        let slow = leader(&[(2, Some(120)), (3, Some(60))], &[2, 3]);
        assert_eq!(of(&slow, &[3], &[3]), []);
        for index in [50, 80] {
            let both = leader(&[(2, Some(index)), (3, Some(60))], &[2, 3]);
            assert_eq!(of(&both, &[3], &[]), [(vec![2], index, 95)]);
        }
    }

    #[test]
    fn no_more_are_let_go_of_than_it_takes() {
        let three = &[(2, Some(60)), (3, Some(80)), (4, Some(90))];
        let view = leader(three, &[2, 3, 4]);
        let none = BTreeSet::new();
        let all = || holders(&view, 1, &none, &none, SILENCE, 95);
        for (too_much_before, expected) in [(70, 1), (85, 2), (95, 3), (99, 3)] {
            let found = enough(all(), |index| index < too_much_before).expect("somebody holds it");
            assert_eq!(found.ids.len(), expected, "{too_much_before}");
        }
    }

    #[test]
    fn who_does_not_say_how_far_its_log_reaches_holds_all_of_it_after_a_moment() {
        for unknown in [None, Some(39)] {
            let new = leader(&[(2, Some(120)), (3, unknown)], &[2, 3]);
            assert_eq!(of(&new, &[], &[]), []);
            assert_eq!(of(&new, &[], &[3]), [(vec![3], 40, 95)]);
        }
    }

    #[test]
    fn a_low_disk_lets_who_lags_catch_up_first() {
        let lags = |from, upto| Holders {
            ids: BTreeSet::from([3]),
            from,
            upto,
        };
        let began = Instant::now();
        let mut letting_go = LettingGo::default();
        let mut look = |found, now| {
            let before = letting_go.lagging.take();
            letting_go.lagging_for_long(before, found, now)
        };
        assert_eq!(look(lags(60, 95), began), None);
        assert_eq!(look(lags(80, 120), began), None);
        let later = began + MOMENT;
        // It has passed where it was in the way, and counts anew.
        assert_eq!(look(lags(99, 120), later), None);
        let last = later + MOMENT;
        assert_eq!(look(lags(110, 140), last), Some(lags(110, 140)));
    }
}
