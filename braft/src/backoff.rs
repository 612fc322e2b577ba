//! Growing, jittered pauses.

use std::time::Duration;

use crate::world;

/// Doubles from `first` up to `cap`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    next: Duration,
    cap: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, cap: Duration) -> Self {
        Backoff { next: first, cap }
    }

    /// The next pause: between half of it and all of it, so that callers refused together do not
    /// come back together.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.cap);
        let half = pause / 2;
        let spread = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
        // Without random numbers the pause is a little shorter than it might be.
        half + Duration::from_nanos(world::random().unwrap_or(0) % spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_its_cap_and_stays_within_bounds() {
        let mut backoff = Backoff::new(Duration::from_millis(4), Duration::from_millis(10));
        for full in [4, 8, 10, 10] {
            let pause = backoff.pause();
            assert!(pause >= Duration::from_millis(full) / 2, "{pause:?}");
            assert!(pause <= Duration::from_millis(full), "{pause:?}");
        }
    }
}
