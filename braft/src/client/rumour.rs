//! What the nodes say of who leads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Who leads in the newest term that was heard of, from whichever node.
///
/// A term has one leader: what is said first of it stands, however others spell its address.
#[derive(Debug, Default)]
pub(super) struct Rumour {
    /// The term, to be looked at without the lock.
    term: AtomicU64,
    newest: Mutex<Option<Arc<str>>>,
}

impl Rumour {
    /// Takes note of what a node says.
    pub(super) fn hear(&self, term: u64, address: &str) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if term > self.term.load(Ordering::Relaxed) {
            *newest = Some(address.into());
            self.term.store(term, Ordering::Release);
        }
    }

    /// The newest term in which a leader was heard of; 0 before.
    pub(super) fn term(&self) -> u64 {
        self.term.load(Ordering::Acquire)
    }

    /// Where it is reached.
    pub(super) fn leader(&self) -> Option<Arc<str>> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_is_not_believed_and_what_was_said_first_of_a_term_stands() {
        let rumour = Rumour::default();
        assert_eq!((rumour.term(), rumour.leader()), (0, None));
        rumour.hear(5, "a:1");
        for (term, address) in [(4, "b:1"), (5, "localhost:1")] {
            rumour.hear(term, address);
            assert_eq!(
                (rumour.term(), rumour.leader().as_deref()),
                (5, Some("a:1"))
            );
        }
        rumour.hear(6, "b:1");
        assert_eq!(
            (rumour.term(), rumour.leader().as_deref()),
            (6, Some("b:1"))
        );
    }
}
