//! Up to where the log is purged: what a snapshot holds, and no follower needs any more.
//!
//! A follower that is given a snapshot needs the log after it. If that were purged meanwhile, it would
//! need the next snapshot as well, and under load one after the other for ever. So a leader keeps that
//! part, for as long as its log costs no more than a few snapshots. It also keeps what followers that it
//! hears have not got yet: raft is sending it to them, and would purge nothing until it has. Nor is that
//! for ever: see `holders.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::snapshots::LEADER_PATIENCE;
use crate::raft::{RaftNode, RaftView, Role};

/// How many times as long as what makes a snapshot due a log gets for the sake of who is given one.
const PATIENCE: u64 = 4;
/// Segments that may hold nothing that is needed: the newest one, and the one that is made ready.
const EMPTY_SEGMENTS: u64 = 2;

/// Decides how much of the log goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Purging {
    /// Log entries to keep that are in a snapshot already.
    keep: u64,
    /// Bytes of log that make a snapshot due, if it is not larger itself.
    snapshot_bytes: u64,
    segment_bytes: u64,
    /// Silence after which a follower has to do with a snapshot.
    silence: Duration,
    /// Up to where raft was asked to purge.
    asked: u64,
}

impl Purging {
    pub(super) fn new(
        keep: u64,
        snapshot_bytes: u64,
        segment_bytes: u64,
        silence: Duration,
    ) -> Self {
        Purging {
            keep,
            snapshot_bytes,
            segment_bytes,
            silence,
            asked: 0,
        }
    }

    /// Up to which log index the log is to be purged now, if it is.
    pub(super) fn due(&mut self, raft: &RaftNode, disk_is_low: bool) -> Option<u64> {
        let view = raft.view();
        let held = self.held(&view)?;
        let given = if self.spares(raft, disk_is_low) {
            raft.given()
        } else {
            BTreeMap::new()
        };
        let needed = needed(&view, raft.id(), &given, self.silence);
        let upto = held.min(needed.unwrap_or(u64::MAX));
        // Raft remembers what it was asked for, and takes nothing back.
        if upto <= purged(&view).max(self.asked) {
            return None;
        }
        self.asked = upto;
        Some(upto)
    }

    /// Raft has taken note of a new snapshot. Before that it purges no more than the one before holds,
    /// whatever it is asked for.
    pub(super) fn ask_again(&mut self) {
        self.asked = 0;
    }

    /// Whether the log after a snapshot on its way is kept.
    pub(super) fn spares(&self, raft: &RaftNode, disk_is_low: bool) -> bool {
        !disk_is_low && !self.is_too_much(raft, raft.wal().stats().disk_bytes)
    }

    /// Whether so many bytes of this node's log are too much to be kept for anybody.
    pub(super) fn is_too_much(&self, raft: &RaftNode, log_bytes: u64) -> bool {
        let patience = patience(raft.machine().freezes_cheaply());
        self.is_long(log_bytes, raft.snapshot_bytes(), patience)
    }

    /// Silence after which a follower has to do with a snapshot.
    pub(super) fn silence(&self) -> Duration {
        self.silence
    }

    /// What a snapshot holds, beyond what is kept anyway, if it is still there.
    pub(super) fn held(&self, view: &RaftView) -> Option<u64> {
        let (_, last) = view.snapshot?;
        let upto = last.saturating_sub(self.keep);
        (upto > purged(view)).then_some(upto)
    }

    /// Whether a log of so many bytes is too long to be kept for anybody, beside a snapshot of so many.
    fn is_long(&self, log_bytes: u64, snapshot_bytes: u64, patience: u64) -> bool {
        let most = self.snapshot_bytes.max(snapshot_bytes);
        let most = most.saturating_mul(patience);
        log_bytes > most.saturating_add(EMPTY_SEGMENTS.saturating_mul(self.segment_bytes))
    }
}

/// How many times as long as what makes a snapshot due the log may get. A leader whose state is held up
/// by a snapshot writes one late: its log is long before anybody is given it.
fn patience(is_cheap: bool) -> u64 {
    PATIENCE + if is_cheap { 0 } else { LEADER_PATIENCE }
}

pub(super) fn purged(view: &RaftView) -> u64 {
    view.purged.map_or(0, |(_, index)| index)
}

/// The log index after which a follower needs the log. Who lacks what is purged already needs a snapshot
/// whatever is kept.
pub(super) fn needed(
    view: &RaftView,
    me: u64,
    given: &BTreeMap<u64, u64>,
    silence: Duration,
) -> Option<u64> {
    if view.role != Role::Leader {
        return None;
    }
    let is_heard = |id: &u64| {
        let contact = view.contact.get(id).copied().flatten();
        contact.is_some_and(|at: Instant| at.elapsed() < silence)
    };
    let matched = |id: &u64| view.matched.as_ref()?.get(id).copied().flatten();
    let others = view.members.members.nodes.keys().filter(|id| **id != me);
    let needs = others.filter_map(|id| match given.get(id) {
        // It has installed it once the log is known to match further on.
        Some(index) => Some(matched(id).unwrap_or(0).max(*index)),
        None => matched(id).filter(|_| is_heard(id)),
    });
    needs.filter(|index| *index >= purged(view)).min()
}

#[cfg(test)]
mod tests {
    use super::super::snapshots::tests::view;
    use super::*;

    const SILENCE: Duration = Duration::from_secs(60);

    fn leader(matched: &[(u64, Option<u64>)], heard: &[u64]) -> RaftView {
        RaftView {
            snapshot: Some((1, 100)),
            purged: Some((1, 40)),
            matched: Some(matched.iter().copied().collect()),
            ..view(Role::Leader, &[1, 2, 3], heard)
        }
    }

    fn purging() -> Purging {
        Purging::new(30, 1_000, 100, SILENCE)
    }

    #[test]
    fn a_log_is_long_by_what_it_costs_beside_a_snapshot() {
        let purging = purging();
        let (cheap, dear) = (patience(true), patience(false));
        assert!(!purging.is_long(4_200, 500, cheap) && purging.is_long(4_201, 500, cheap));
        assert!(!purging.is_long(8_200, 2_000, cheap) && purging.is_long(8_201, 2_000, cheap));
        assert!(!purging.is_long(8_200, 500, dear) && purging.is_long(8_201, 500, dear));
    }

    fn needed_of(view: &RaftView, given: &[(u64, u64)]) -> Option<u64> {
        needed(view, 1, &given.iter().copied().collect(), SILENCE)
    }

    #[test]
    fn what_a_follower_lacks_that_is_heard_is_kept() {
        let view = leader(&[(2, Some(90)), (3, Some(60))], &[2, 3]);
        assert_eq!(needed_of(&view, &[]), Some(60));
        let silent = leader(&[(2, Some(90)), (3, Some(60))], &[2]);
        assert_eq!(needed_of(&silent, &[]), Some(90));
    }

    #[test]
    fn nothing_is_kept_for_who_needs_a_snapshot_anyway() {
        let view = leader(&[(2, Some(90)), (3, Some(39))], &[2, 3]);
        assert_eq!(needed_of(&view, &[]), Some(90));
        let new = leader(&[(2, Some(90)), (3, None)], &[2, 3]);
        assert_eq!(needed_of(&new, &[]), Some(90));
    }

    #[test]
    fn what_comes_after_a_snapshot_on_its_way_is_kept_even_in_silence() {
        let view = leader(&[(2, Some(90)), (3, None)], &[2]);
        assert_eq!(needed_of(&view, &[(3, 70)]), Some(70));
        let installed = leader(&[(2, Some(90)), (3, Some(75))], &[2]);
        assert_eq!(needed_of(&installed, &[(3, 70)]), Some(75));
        // It was purged when the log was too long.
        assert_eq!(needed_of(&view, &[(3, 39)]), Some(90));
        // It is no member any more.
        assert_eq!(needed_of(&view, &[(4, 70)]), Some(90));
    }

    #[test]
    fn a_follower_keeps_for_itself_alone() {
        let follower = RaftView {
            role: Role::Follower,
            ..leader(&[(2, Some(60))], &[2])
        };
        assert_eq!(needed_of(&follower, &[]), None);
        let purging = purging();
        assert_eq!(purging.held(&follower), Some(70));
        let purging = Purging {
            keep: 60,
            ..purging
        };
        assert_eq!(purging.held(&follower), None);
    }
}
