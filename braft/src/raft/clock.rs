//! Log time: the clock that the leader stamps entries with.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::network::Agreed;

/// Log time gains on the wall clocks, or waits for them, by at most this part of what elapses.
const SLEW_PART: u32 = 8;

/// Stamps that never go back and follow the wall clocks of a majority without jumping.
///
/// Between stamps it runs with the monotonic clock. It gains on wall clocks that are ahead, and waits
/// for those that are behind, by at most an eighth of the elapsed time: wall clocks that jump bend log
/// time, and do not break it.
#[derive(Debug)]
struct LogClock {
    /// The latest stamp this node knows of, and when it learned of it.
    last: Duration,
    at: Instant,
}

impl LogClock {
    /// A stamp of another leader was applied here.
    fn observe(&mut self, stamp: Duration, now: Instant) {
        if stamp > self.last {
            (self.last, self.at) = (stamp, now);
        }
    }

    fn steady(&self, now: Instant) -> Duration {
        let elapsed = now.saturating_duration_since(self.at);
        self.last.saturating_add(elapsed)
    }

    /// What a stamp would show now; at least `applied`, the latest stamp in the log that is known.
    fn reading(&self, applied: Duration, now: Instant, agreed: Option<Agreed>) -> Duration {
        let stamp = match agreed {
            // The first stamp of a cluster has nothing to go on from. One that is behind can catch up,
            // one that is ahead could not go back.
            Some(agreed) if self.last.is_zero() && applied.is_zero() => agreed.from,
            Some(agreed) => {
                let steady = self.steady(now);
                let bend = now.saturating_duration_since(self.at) / SLEW_PART;
                let wanted = agreed.nearest(steady);
                wanted.clamp(steady.saturating_sub(bend), steady.saturating_add(bend))
            }
            None => self.steady(now),
        };
        stamp.max(self.last).max(applied)
    }
}

/// The log clock of a node, which several tasks read.
#[derive(Debug)]
pub(super) struct SharedClock(Mutex<LogClock>);

impl SharedClock {
    /// A clock that goes on from the last stamp in the log.
    pub(super) fn new(last: Duration) -> Self {
        let at = Instant::now();
        SharedClock(Mutex::new(LogClock { last, at }))
    }

    fn lock(&self) -> MutexGuard<'_, LogClock> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stamp of another leader was applied here.
    pub(super) fn observe(&self, stamp: Duration) {
        self.lock().observe(stamp, Instant::now());
    }

    /// Log time if nobody's wall clock were followed from now on; `None` before the first stamp.
    pub(super) fn steady(&self) -> Option<Duration> {
        let clock = self.lock();
        (!clock.last.is_zero()).then(|| clock.steady(Instant::now()))
    }

    /// The next stamp; at least `applied`.
    pub(super) fn stamp(&self, applied: Duration, agreed: Option<Agreed>) -> Duration {
        let mut clock = self.lock();
        let now = Instant::now();
        clock.last = clock.reading(applied, now, agreed);
        clock.at = now;
        clock.last
    }

    /// How long it takes, as far as can be known now, until a stamp reaches `due`.
    pub(super) fn until(
        &self,
        due: Duration,
        applied: Duration,
        agreed: Option<Agreed>,
    ) -> Duration {
        let reading = self.lock().reading(applied, Instant::now(), agreed);
        due.saturating_sub(reading)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn agreed(from: u64, to: u64) -> Option<Agreed> {
        Some(Agreed {
            from: seconds(from),
            to: seconds(to),
        })
    }

    fn clock(last: u64) -> (LogClock, Instant) {
        let at = Instant::now();
        let last = seconds(last);
        (LogClock { last, at }, at)
    }

    #[test]
    fn a_new_cluster_begins_with_the_wall_clocks() {
        let (clock, now) = clock(0);
        let first = clock.reading(Duration::ZERO, now, agreed(1000, 9000));
        assert_eq!(first, seconds(1000));
    }

    #[test]
    fn wall_clocks_that_jump_only_bend_log_time() {
        let (clock, now) = clock(1000);
        let later = now + seconds(80);
        let reading = |agreed| clock.reading(seconds(1000), later, agreed);
        assert_eq!(reading(agreed(9_000_000, 9_000_000)), seconds(1090));
        assert_eq!(reading(agreed(1, 1)), seconds(1070));
        assert_eq!(reading(agreed(1085, 1085)), seconds(1085));
        assert_eq!(reading(None), seconds(1080));
        // Where only two clocks are known and differ, neither is followed.
        assert_eq!(reading(agreed(1, 9_000_000)), seconds(1080));
    }

    #[test]
    fn it_never_goes_back_behind_the_log() {
        let (clock, now) = clock(1000);
        let reading = clock.reading(seconds(2000), now, agreed(1000, 1000));
        assert_eq!(reading, seconds(2000));
    }

    #[test]
    fn the_next_leader_goes_on_from_the_stamps_of_the_last() {
        let (mut clock, began) = clock(1000);
        // It follows for long, with a wall clock far ahead.
        let heard = began + seconds(8000);
        clock.observe(seconds(1500), heard);
        clock.observe(seconds(1400), heard + seconds(1));
        let leads = heard + seconds(8);
        let reading = clock.reading(seconds(1500), leads, agreed(9_000_000, 9_000_000));
        assert_eq!(reading, seconds(1509));
    }
}
