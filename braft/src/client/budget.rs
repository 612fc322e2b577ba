//! How often a client may ask again what a busy node has refused.

use std::sync::atomic::{AtomicU64, Ordering};

/// Attempts that a client may repeat at once, after a time without trouble.
const MOST_REPEATS: u64 = 100;
/// Of so many calls that were answered, one more attempt may be repeated.
const ANSWERS_PER_REPEAT: u64 = 10;

/// Attempts refused as busy that may be repeated: a share of the calls that were answered. Under more
/// load than the nodes carry, each further attempt would take from what they can do.
///
/// Source: retry throttling of gRPC (proposal A6).
#[derive(Debug)]
pub(super) struct Budget {
    /// In parts of a repeat: each answer adds one.
    left: AtomicU64,
}

impl Default for Budget {
    fn default() -> Self {
        Budget {
            left: AtomicU64::new(MOST_REPEATS * ANSWERS_PER_REPEAT),
        }
    }
}

impl Budget {
    /// A call was answered.
    pub(super) fn earn(&self) {
        // Mostly it is full; then nobody writes.
        if self.left.load(Ordering::Relaxed) < MOST_REPEATS * ANSWERS_PER_REPEAT {
            self.left.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether a refused attempt may be repeated.
    pub(super) fn spend(&self) -> bool {
        let spent = |left: u64| left.checked_sub(ANSWERS_PER_REPEAT);
        let spent = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spent);
        spent.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeats(budget: &Budget) -> u64 {
        (0..).take_while(|_| budget.spend()).count() as u64
    }

    #[test]
    fn repeats_are_a_share_of_the_answers_and_bounded() {
        let budget = Budget::default();
        assert_eq!(repeats(&budget), MOST_REPEATS);
        for _ in 0..5 * ANSWERS_PER_REPEAT {
            budget.earn();
        }
        assert_eq!(repeats(&budget), 5);
        for _ in 0..1000 * MOST_REPEATS {
            budget.earn();
        }
        assert_eq!(repeats(&budget), MOST_REPEATS);
    }
}
