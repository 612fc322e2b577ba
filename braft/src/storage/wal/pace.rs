//! How long a sync takes, from how long it took lately.

use std::time::Duration;

/// A sync that should end within this time may run on a thread that others would like to use.
const BRIEF: Duration = Duration::from_millis(1);
/// By what part of the difference the estimate sinks when a sync took less; it rises at once.
const SINK: u32 = 16;

/// The slowest recent sync.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SyncPace(Option<Duration>);

impl SyncPace {
    /// Whether the next sync should be brief.
    pub(super) fn is_brief(self) -> bool {
        self.0.is_some_and(|expected| expected <= BRIEF)
    }

    /// Takes note of what a sync took.
    pub(super) fn note(&mut self, took: Duration) {
        let sunk = |before: Duration| before - before.saturating_sub(took) / SINK;
        self.0 = Some(self.0.map_or(took, |before| sunk(before).max(took)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sync_is_brief_before_one_was_measured() {
        let mut pace = SyncPace::default();
        assert!(!pace.is_brief());
        pace.note(Duration::from_micros(90));
        assert!(pace.is_brief());
    }

    #[test]
    fn one_slow_sync_is_remembered_for_a_while() {
        let mut pace = SyncPace::default();
        pace.note(Duration::from_micros(90));
        pace.note(Duration::from_millis(20));
        let mut quick = 0;
        while !pace.is_brief() {
            pace.note(Duration::from_micros(90));
            quick += 1;
        }
        assert!((20..200).contains(&quick), "{quick}");
    }
}
