//! What is carried out of one entry, in order.

use crate::session::Place;

/// Tells the places of timers from those of items.
const TIMER: u32 = 1 << 31;

/// A timer that is due with an entry, or an item of it. Timers come first.
///
/// Counted for themselves: how many timers are due may depend on which commands have an effect, and
/// the places of items must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Timer(u32),
    Item(u32),
}

impl Step {
    /// The first of any entry.
    pub(super) const FIRST: Step = Step::Timer(0);

    /// The one behind it.
    pub(super) fn next(self) -> Self {
        match self {
            Step::Timer(number) => Step::Timer(number + 1),
            Step::Item(number) => Step::Item(number + 1),
        }
    }

    /// Its place in the log.
    pub(super) fn place(self, index: u64) -> Place {
        match self {
            Step::Timer(number) => (index, TIMER | number),
            Step::Item(number) => (index, number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_before_items_and_no_two_share_a_place() {
        assert!(Step::FIRST <= Step::Timer(0) && Step::Timer(9) < Step::Item(0));
        assert!(Step::Item(0) < Step::Item(0).next());
        assert_ne!(Step::Timer(1).place(7), Step::Item(1).place(7));
    }
}
