//! The right to do what only the leader does, for as long as it lasts.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

use tokio_util::sync::CancellationToken;

/// The moment of a token that is over.
const OVER: u64 = 0;

/// The right to do what only the leader does: given to a
/// [leader task](crate::Config::leader_task), and over for good once it is over.
///
/// No two tokens of one cluster are valid at the same moment, by the clocks of running machines.
/// A token ends
/// - when no quorum has been in touch for the lease: the upper election timeout, counted from the
///   moment at which the last message that a quorum answered was *sent*, less a tenth;
/// - when a handover of leadership begins, before the other node is asked;
/// - when this node sees a higher term, or stops.
///
/// [`is_valid`](Self::is_valid) looks at the monotonic clock: a process that was stopped for a
/// while sees that its token is over before anything else of it has run. What has been checked can
/// still be late: a paused process, a slow disk, a message under way. For what must not happen
/// twice, send [`term`](Self::term) along: it is the fencing number.
/// [`Call::fenced`](crate::Call::fenced) does so for this cluster's services; a service that guards
/// something outside finds the term of its entry in
/// [`Context::log_position`](crate::Context::log_position).
///
/// Cheap to clone; clones are one token.
#[derive(Clone)]
pub struct LeaderToken(Arc<Inner>);

struct Inner {
    term: u64,
    issued: Instant,
    /// Until when it is valid, in nanoseconds after `issued`, unless extended; [`OVER`] for good.
    valid_for: AtomicU64,
    over: CancellationToken,
}

impl LeaderToken {
    pub(crate) fn issue(term: u64, until: Instant) -> Self {
        let issued = Instant::now();
        LeaderToken(Arc::new(Inner {
            term,
            issued,
            valid_for: AtomicU64::new(nanoseconds(until.saturating_duration_since(issued))),
            over: CancellationToken::new(),
        }))
    }

    /// The term of this leadership, its fencing number: each later leader has a greater one.
    pub fn term(&self) -> u64 {
        self.0.term
    }

    /// Whether this node may act as the leader at this moment, by the monotonic clock.
    pub fn is_valid(&self) -> bool {
        !self.remaining().is_zero()
    }

    /// How long it stays valid unless it is extended, as it is with each answer of a quorum; zero
    /// once it is over.
    pub fn remaining(&self) -> Duration {
        loop {
            // Before the clock: a pause between the two makes the answer stricter.
            let valid_for = self.0.valid_for.load(Ordering::Acquire);
            if valid_for == OVER {
                return Duration::ZERO;
            }
            let left = valid_for.saturating_sub(nanoseconds(self.0.issued.elapsed()));
            if left > 0 {
                return Duration::from_nanos(left);
            }
            // Whoever was told that it is over must never be told otherwise.
            if self.replace(valid_for, OVER) {
                self.0.over.cancel();
            }
        }
    }

    /// Waits until it is over.
    pub async fn cancelled(&self) {
        loop {
            let left = self.remaining();
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = self.0.over.cancelled() => return,
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    /// Makes it valid until then, unless it is over. Says whether it is valid.
    pub(crate) fn extend(&self, until: Instant) -> bool {
        let until = nanoseconds(until.saturating_duration_since(self.0.issued));
        loop {
            if !self.is_valid() {
                return false;
            }
            let valid_for = self.0.valid_for.load(Ordering::Acquire);
            if valid_for != OVER && (until <= valid_for || self.replace(valid_for, until)) {
                return true;
            }
        }
    }

    /// Ends it, now and for good.
    pub(crate) fn revoke(&self) {
        self.0.valid_for.store(OVER, Ordering::Release);
        self.0.over.cancel();
    }

    fn replace(&self, old: u64, new: u64) -> bool {
        let valid_for = &self.0.valid_for;
        valid_for
            .compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

impl fmt::Debug for LeaderToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaderToken")
            .field("term", &self.0.term)
            .field("remaining", &self.remaining())
            .finish()
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn it_is_over_by_the_clock_alone_and_never_comes_back() {
        let token = LeaderToken::issue(7, Instant::now() + Duration::from_millis(1));
        // No task runs here that could have cancelled it.
        while token.is_valid() {}
        assert!(!token.extend(Instant::now() + LONG));
        assert!(!token.is_valid());
        assert_eq!(token.remaining(), Duration::ZERO);
    }

    #[test]
    fn one_that_ran_out_unseen_is_not_extended() {
        let token = LeaderToken::issue(7, Instant::now());
        assert!(!token.extend(Instant::now() + LONG));
        assert!(!token.is_valid());
    }

    #[test]
    fn it_is_extended_and_never_shortened() {
        let token = LeaderToken::issue(7, Instant::now() + LONG);
        assert!(token.extend(Instant::now() + 2 * LONG));
        assert!(token.extend(Instant::now() + LONG));
        assert!(token.remaining() > LONG);
    }

    #[tokio::test]
    async fn all_clones_end_together() {
        let token = LeaderToken::issue(7, Instant::now() + LONG);
        let (clone, waiting) = (token.clone(), token.clone());
        let waiting = tokio::spawn(async move { waiting.cancelled().await });
        clone.revoke();
        waiting.await.unwrap();
        assert!(!token.is_valid());
        assert!(!token.extend(Instant::now() + LONG));
    }
}
