//! When to try again, and what to report.

use std::time::Duration;

use crate::backoff::Backoff;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A watch that lasted this long was a good one: the next may begin at once.
const GOOD_WATCH: Duration = Duration::from_secs(5);
/// Watches in a row that were cut short before it is said.
const SHORT_WATCHES: u32 = 3;

/// Keeps a server that is in trouble from being hammered, and the log from being flooded.
pub(super) struct Pace {
    backoff: Backoff,
    short_watches: u32,
    reported: Reported,
}

/// What was last said.
#[derive(PartialEq, Eq)]
enum Reported {
    Nothing,
    Watching,
    Failing(String),
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            short_watches: 0,
            reported: Reported::Nothing,
        }
    }

    /// A watch has ended, as each does some time: the pause before the next one, and whether that
    /// it ends too soon is worth a line.
    pub(super) fn after_watch(&mut self, lasted: Duration) -> (Duration, bool) {
        if lasted >= GOOD_WATCH {
            self.backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
            self.short_watches = 0;
            return (Duration::ZERO, false);
        }
        self.short_watches = self.short_watches.saturating_add(1);
        (self.backoff.pause(), self.short_watches == SHORT_WATCHES)
    }

    /// A request has failed: the pause before the next one. `asked` is what the server asks for.
    pub(super) fn after_failure(&mut self, asked: Option<Duration>) -> Duration {
        let asked = asked.unwrap_or_default().min(LONGEST_PAUSE);
        self.backoff.pause().max(asked)
    }

    /// Whether a failure is worth a line: it is not the one that was reported last.
    pub(super) fn failing(&mut self, reason: &str) -> bool {
        let now = Reported::Failing(reason.to_owned());
        std::mem::replace(&mut self.reported, now) != Reported::Failing(reason.to_owned())
    }

    /// Whether it is worth a line that a watch has begun: the last thing said was another.
    pub(super) fn watching(&mut self) -> bool {
        std::mem::replace(&mut self.reported, Reported::Watching) != Reported::Watching
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_watch_is_followed_by_the_next_at_once() {
        let mut pace = Pace::new();
        for _ in 0..100 {
            assert_eq!(pace.after_watch(GOOD_WATCH), (Duration::ZERO, false));
        }
    }

    #[test]
    fn a_server_that_ends_each_watch_is_asked_ever_more_rarely_and_that_is_said_once() {
        let mut pace = Pace::new();
        let watches: Vec<_> = (0..20).map(|_| pace.after_watch(Duration::ZERO)).collect();
        assert!(watches[0].0 >= FIRST_PAUSE / 2);
        assert!(watches.iter().all(|(pause, _)| *pause <= LONGEST_PAUSE));
        assert!(watches[19].0 >= LONGEST_PAUSE / 2);
        assert_eq!(watches.iter().filter(|(_, said)| *said).count(), 1);
    }

    #[test]
    fn pauses_after_failures_grow_to_a_bound_and_begin_again_after_a_good_watch() {
        let mut pace = Pace::new();
        let pauses: Vec<_> = (0..20).map(|_| pace.after_failure(None)).collect();
        assert!(pauses[0] <= FIRST_PAUSE);
        assert!(pauses[19] >= LONGEST_PAUSE / 2 && pauses[19] <= LONGEST_PAUSE);
        pace.after_watch(GOOD_WATCH);
        assert!(pace.after_failure(None) <= FIRST_PAUSE);
    }

    #[test]
    fn a_pause_the_server_asks_for_is_kept_within_the_bound() {
        let asked = Duration::from_secs(7);
        assert_eq!(Pace::new().after_failure(Some(asked)), asked);
        let asked = Some(Duration::from_secs(3_600));
        assert_eq!(Pace::new().after_failure(asked), LONGEST_PAUSE);
    }

    #[test]
    fn each_change_is_reported_once() {
        let mut pace = Pace::new();
        assert!(pace.failing("refused"));
        assert!(!pace.failing("refused"));
        assert!(pace.failing("forbidden"));
        assert!(pace.watching());
        assert!(!pace.watching());
        assert!(pace.failing("forbidden"));
    }
}
