//! How long work on the state takes, from how long it took lately.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// Work that should end within this time is brief: a heartbeat that waits for it is not late.
const BRIEF_NANOS: u64 = 1_000_000;
/// Work that took less than this counts with the time that its thread was on a processor: it may have
/// been kept from one by others, of which the next work knows nothing. Beyond it, it may have slept.
const KEPT_WAITING: Duration = Duration::from_millis(20);
/// By what part of the difference the estimate sinks when work took less; it rises at once.
const SINK: u64 = 16;
/// Nothing was measured yet: nothing is brief.
const UNKNOWN: u64 = u64::MAX;

/// The slowest recent work of one kind, by its size.
#[derive(Debug)]
pub(crate) struct Pace {
    /// For 1024 units.
    nanos: AtomicU64,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            nanos: AtomicU64::new(UNKNOWN),
        }
    }
}

impl Pace {
    /// Whether work of this size should be brief.
    pub(crate) fn is_brief(&self, units: usize) -> bool {
        let nanos = self.nanos.load(Ordering::Relaxed);
        let expected = nanos.saturating_mul(units as u64) >> 10;
        nanos != UNKNOWN && expected <= BRIEF_NANOS
    }

    /// Does work of this size, and takes note of how long it takes.
    pub(crate) fn timed<T>(&self, units: usize, work: impl FnOnce() -> T) -> T {
        let (began, busy) = (Instant::now(), on_processor());
        let result = work();
        let took = began.elapsed();
        let busy = on_processor().saturating_sub(busy);
        self.note(units, if took < KEPT_WAITING { busy } else { took });
        result
    }

    /// Takes note of what work of this size took. Of two notes at once one may get lost.
    pub(crate) fn note(&self, units: usize, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(UNKNOWN >> 10);
        let seen = (took.min(UNKNOWN >> 11) << 10) / (units as u64).max(1);
        let before = self.nanos.load(Ordering::Relaxed);
        let after = if before == UNKNOWN || seen >= before {
            seen
        } else {
            before - (before - seen).div_ceil(SINK)
        };
        self.nanos.store(after, Ordering::Relaxed);
    }
}

/// How long this thread was on a processor since it began.
fn on_processor() -> Duration {
    // It is neither negative nor beyond what a duration holds.
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_kept_waiting_is_not_slow_and_one_that_sleeps_is() {
        let pace = Pace::default();
        pace.timed(1, || std::thread::sleep(Duration::from_millis(5)));
        assert!(pace.is_brief(1));
        pace.timed(1, || std::thread::sleep(KEPT_WAITING));
        assert!(!pace.is_brief(1));
    }

    #[test]
    fn a_thread_that_works_is_slow_as_long_as_it_works() {
        let pace = Pace::default();
        let busy = Duration::from_nanos(2 * BRIEF_NANOS);
        pace.timed(1, || {
            let began = on_processor();
            while on_processor().saturating_sub(began) < busy {}
        });
        assert!(!pace.is_brief(1));
    }

    #[test]
    fn nothing_is_brief_before_it_was_measured() {
        assert!(!Pace::default().is_brief(1));
    }

    #[test]
    fn size_counts() {
        let pace = Pace::default();
        pace.note(100, Duration::from_micros(10));
        assert!(pace.is_brief(100));
        assert!(!pace.is_brief(100_000));
    }

    #[test]
    fn one_slow_run_is_remembered_for_a_while() {
        let pace = Pace::default();
        pace.note(1, Duration::from_micros(1));
        pace.note(1, Duration::from_secs(1));
        assert!(!pace.is_brief(1));
        let mut quick = 0;
        while !pace.is_brief(1) {
            pace.note(1, Duration::from_micros(1));
            quick += 1;
        }
        assert!((50..1000).contains(&quick), "{quick}");
    }

    #[test]
    fn the_longest_time_does_not_overflow() {
        let pace = Pace::default();
        pace.note(1, Duration::MAX);
        assert!(!pace.is_brief(usize::MAX));
        pace.note(0, Duration::ZERO);
        assert!(!pace.is_brief(1));
    }
}
