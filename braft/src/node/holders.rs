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
    /// Up to where the one that has least of the log has it.
    pub(super) lowest: u64,
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
        if self.last.is_some_and(|at| at.elapsed() < MOMENT) {
            return None;
        }
        // Whoever lagged must be found again.
        let lagging = self.lagging.take();
        let view = raft.view();
        let held = purging.held(&view)?;
        let others = Others {
            me: raft.id(),
            given: raft.given(),
            silent: raft.streams_older_than(MOMENT),
            silence: purging.silence(),
            are_spared: purging.spares(raft, disk_is_low),
        };
        let all = others.holders(&view, held);
        let lowest = all.first()?.lowest;
        // What a purge would not free is not kept for their sake.
        let kept_from = |index| {
            let whole = raft.wal().bytes_upto(held);
            whole.saturating_sub(raft.wal().bytes_upto(index))
        };
        if purging.is_too_much(raft, kept_from(lowest)) {
            let mut enough = all.iter();
            let enough = enough.find(|holders| !purging.is_too_much(raft, kept_from(holders.upto)));
            return enough.or(all.last()).cloned();
        }
        let frees = |holders: &Holders| kept_from(lowest) > kept_from(holders.upto);
        let in_the_way = all.into_iter().find(frees).filter(|_| disk_is_low)?;
        self.lagging = lagging;
        self.lagging_for_long(in_the_way, Instant::now())
    }

    /// Somebody was let go of.
    pub(super) fn done(&mut self) {
        self.last = Some(Instant::now());
        self.lagging = None;
    }

    /// Those who have not got any further than where they were in the way a moment ago.
    fn lagging_for_long(&mut self, found: Holders, now: Instant) -> Option<Holders> {
        if let Some((before, since)) = &self.lagging
            && before.ids == found.ids
            && found.from < before.upto
        {
            return (now.duration_since(*since) >= MOMENT).then_some(found);
        }
        self.lagging = Some((found, now));
        None
    }
}

/// What a leader knows of the other members, beside raft's view.
struct Others {
    me: u64,
    /// Who is being given a snapshot, and the last log index in it.
    given: BTreeMap<u64, u64>,
    /// Whose stream has gone on for a moment.
    silent: BTreeSet<u64>,
    /// Silence after which a follower has to do with a snapshot.
    silence: Duration,
    /// Whether the log after a snapshot on its way is kept.
    are_spared: bool,
}

impl Others {
    /// The follower that holds most of the log, then that and the next one, and so on, each with how far the
    /// log would go without them.
    fn holders(&self, view: &RaftView, held: u64) -> Vec<Holders> {
        if view.role != Role::Leader {
            return Vec::new();
        }
        let matched = |id: &u64| view.matched.as_ref()?.get(id).copied().flatten();
        let purged = purged(view);
        // Who is given a snapshot is sent no log. Of who has less than what is purged, or nothing that raft
        // knows of, raft is asking how far its log reaches, which keeps the log as well.
        let others = view.members.members.nodes.keys();
        let others = others.filter(|id| **id != self.me && !self.given.contains_key(id));
        let holding = others.filter_map(|id| match matched(id) {
            Some(index) if index >= purged => Some((index, *id)),
            _ => self.silent.contains(id).then_some((purged, *id)),
        });
        let mut holding: Vec<_> = holding.filter(|(index, _)| *index < held).collect();
        holding.sort_unstable();
        let Some((lowest, _)) = holding.first().copied() else {
            return Vec::new();
        };

        let mut without = view.clone();
        if !self.are_spared {
            let nodes = &mut without.members.members.nodes;
            nodes.retain(|id, _| !self.given.contains_key(id));
        }
        let mut ids = BTreeSet::new();
        let mut all = Vec::new();
        for (from, id) in holding {
            without.members.members.nodes.remove(&id);
            ids.insert(id);
            let needed = needed(&without, self.me, &self.given, self.silence);
            let upto = needed.map_or(held, |needed| needed.min(held));
            if upto > from {
                let ids = ids.clone();
                all.push(Holders {
                    ids,
                    lowest,
                    from,
                    upto,
                });
            }
        }
        all
    }
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

    fn others(given: &[(u64, u64)], silent: &[u64]) -> Others {
        Others {
            me: 1,
            given: given.iter().copied().collect(),
            silent: silent.iter().copied().collect(),
            silence: SILENCE,
            are_spared: true,
        }
    }

    /// Who, from where, up to where; of a log that may go up to 95.
    fn found(others: &Others, view: &RaftView) -> Vec<(Vec<u64>, u64, u64)> {
        let all = others.holders(view, 95);
        let plain = |found: Holders| (found.ids.into_iter().collect(), found.from, found.upto);
        all.into_iter().map(plain).collect()
    }

    fn of(view: &RaftView, given: &[(u64, u64)], silent: &[u64]) -> Vec<(Vec<u64>, u64, u64)> {
        found(&others(given, silent), view)
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
    fn who_is_given_a_snapshot_is_not_let_go_of_and_what_comes_after_it_is_needed() {
        let slow = leader(&[(2, Some(120)), (3, Some(60))], &[2, 3]);
        assert_eq!(of(&slow, &[(3, 70)], &[3]), []);
        let both = leader(&[(2, Some(50)), (3, Some(60))], &[2, 3]);
        assert_eq!(of(&both, &[(3, 70)], &[]), [(vec![2], 50, 70)]);
    }

    #[test]
    fn while_the_log_is_too_long_no_snapshot_on_its_way_is_in_the_way() {
        let hard = Others {
            are_spared: false,
            ..others(&[(3, 70)], &[])
        };
        let before = leader(&[(2, Some(50)), (3, Some(60))], &[2, 3]);
        assert_eq!(found(&hard, &before), [(vec![2], 50, 95)]);
        let after = leader(&[(2, Some(80)), (3, Some(60))], &[2, 3]);
        assert_eq!(found(&hard, &after), [(vec![2], 80, 95)]);
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
            lowest: from,
            from,
            upto,
        };
        let began = Instant::now();
        let mut letting_go = LettingGo::default();
        assert_eq!(letting_go.lagging_for_long(lags(60, 95), began), None);
        assert_eq!(letting_go.lagging_for_long(lags(80, 120), began), None);
        let later = began + MOMENT;
        // It has passed where it was in the way, and counts anew.
        assert_eq!(letting_go.lagging_for_long(lags(99, 120), later), None);
        let last = later + MOMENT;
        let found = letting_go.lagging_for_long(lags(110, 140), last);
        assert_eq!(found, Some(lags(110, 140)));
    }
}
