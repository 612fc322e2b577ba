//! What a voter may have promised before it was restarted.
//!
//! A voter that answers its leader's heartbeat promises not to help elect another one for the upper
//! election timeout, the lease. openraft keeps that promise in memory only: after a restart the
//! lease is zero. So a voter that is started with a vote for another node on its disk neither votes
//! nor campaigns for that long: it may have promised that just before it stopped.
//!
//! Not held up by this:
//! - a node without a vote, as at the first formation: it has promised nothing to anybody;
//! - a node whose last vote was for itself: it gave it when its promises to others had run out, and
//!   what rested on its own leadership ended with its process;
//! - an election that the leader asked for in order to hand over: it gave its own right up first.
//!
//! The time is that of the present configuration. While the election timeouts of a cluster are
//! being shortened node by node, a voter may have promised more than it now keeps; until all have
//! the new ones, what must not happen twice rests on the fencing number alone.

use std::time::Duration;

use tokio::time::Instant;

use super::network::Timers;
use crate::planted::{self, Bug};
use crate::storage::wal::Vote;

/// Until when this node, started now with this vote on its disk, keeps out of elections.
pub(super) fn silent_until(
    vote: Option<Vote>,
    me: u64,
    timers: Timers,
    now: Instant,
) -> Option<Instant> {
    let lease = Duration::from_millis(timers.election_max_ms.into());
    if planted::is(Bug::VoteAfterRestart) {
        return None;
    }
    vote.and_then(|vote| vote.voted_for)
        .filter(|leader| *leader != me)
        .map(|_| now + lease)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMERS: Timers = Timers {
        heartbeat_ms: 100,
        election_min_ms: 300,
        election_max_ms: 600,
    };

    fn silent(voted_for: Option<u64>) -> Option<Duration> {
        let now = Instant::now();
        let vote = Vote {
            term: 3,
            voted_for,
            committed: false,
        };
        silent_until(Some(vote), 1, TIMERS, now).map(|until| until - now)
    }

    #[test]
    fn a_voter_that_may_have_promised_a_lease_waits_it_out() {
        assert_eq!(silent(Some(2)), Some(Duration::from_millis(600)));
    }

    #[test]
    fn nobody_waits_who_has_promised_nothing_to_others() {
        assert_eq!(silent(Some(1)), None);
        assert_eq!(silent(None), None);
        assert_eq!(silent_until(None, 1, TIMERS, Instant::now()), None);
    }
}
