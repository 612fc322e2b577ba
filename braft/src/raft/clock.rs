//! Log time: the clock that the leader stamps entries with.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Stamps that never go back and follow the wall clock without jumping.
///
/// Between stamps it runs with the monotonic clock. It gains on a wall clock that is ahead, and
/// waits for one that is behind, by at most half the elapsed time: a wall clock that jumps bends
/// log time, and does not break it.
#[derive(Debug)]
pub(crate) struct LogClock {
    last: Duration,
    at: Instant,
}

impl LogClock {
    /// A clock that goes on from the last stamp in the log.
    pub(crate) fn new(last: Duration, now: Instant) -> Self {
        LogClock { last, at: now }
    }

    /// How long it takes, as far as can be known now, until a stamp reaches `due`.
    fn until(&self, due: Duration, applied: Duration, now: Instant, wall: SystemTime) -> Duration {
        due.saturating_sub(self.reading(applied, now, wall))
    }

    /// The next stamp; at least `applied`, the latest stamp this node has seen in the log.
    pub(crate) fn stamp(&mut self, applied: Duration, now: Instant, wall: SystemTime) -> Duration {
        self.last = self.reading(applied, now, wall);
        self.at = now;
        self.last
    }

    fn reading(&self, applied: Duration, now: Instant, wall: SystemTime) -> Duration {
        let elapsed = now.saturating_duration_since(self.at);
        let wall = wall
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let steady = self.last + elapsed;
        let bend = elapsed / 2;
        let stamp = if self.last.is_zero() && applied.is_zero() {
            // The first stamp of a cluster has nothing to go on from.
            wall
        } else {
            wall.clamp(steady.saturating_sub(bend), steady + bend)
        };
        stamp.max(self.last).max(applied)
    }
}

/// A log clock that several tasks read.
#[derive(Debug)]
pub(super) struct SharedClock(Mutex<LogClock>);

impl SharedClock {
    /// A clock that goes on from the last stamp in the log.
    pub(super) fn new(last: Duration) -> Self {
        SharedClock(Mutex::new(LogClock::new(last, Instant::now())))
    }

    fn lock(&self) -> MutexGuard<'_, LogClock> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next stamp; see [`LogClock::stamp`].
    pub(super) fn stamp(&self, applied: Duration) -> Duration {
        self.lock()
            .stamp(applied, Instant::now(), SystemTime::now())
    }

    /// How long it takes until a stamp reaches `due`.
    pub(super) fn until(&self, due: Duration, applied: Duration) -> Duration {
        self.lock()
            .until(due, applied, Instant::now(), SystemTime::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }
    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_new_cluster_begins_with_the_wall_clock() {
        let now = Instant::now();
        let mut clock = LogClock::new(Duration::ZERO, now);
        assert_eq!(clock.stamp(Duration::ZERO, now, wall(1000)), seconds(1000));
    }

    #[test]
    fn a_wall_clock_that_jumps_only_bends_log_time() {
        let now = Instant::now();
        let mut clock = LogClock::new(seconds(1000), now);
        let later = now + seconds(10);
        assert_eq!(
            clock.stamp(seconds(1000), later, wall(9_000_000)),
            seconds(1015)
        );
        let later = later + seconds(10);
        assert_eq!(clock.stamp(seconds(1000), later, wall(1)), seconds(1020));
    }

    #[test]
    fn it_never_goes_back_behind_the_log() {
        let now = Instant::now();
        let mut clock = LogClock::new(seconds(1000), now);
        assert_eq!(clock.stamp(seconds(2000), now, wall(1000)), seconds(2000));
        assert!(clock.stamp(seconds(2000), now, wall(1000)) >= seconds(2000));
    }
}
