//! Log time: the clock that the leader stamps entries with.

use std::time::{Duration, SystemTime};
use tokio::time::Instant;

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

    /// The next stamp; at least `applied`, the latest stamp this node has seen in the log.
    pub(crate) fn stamp(&mut self, applied: Duration, now: Instant, wall: SystemTime) -> Duration {
        let elapsed = now.saturating_duration_since(self.at);
        self.at = now;
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
        self.last = stamp.max(self.last).max(applied);
        self.last
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
