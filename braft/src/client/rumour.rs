//! What the nodes say of who leads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who leads in the newest term that was heard of, from whichever node.
///
/// A term has one leader: what is said first of it stands, however others spell its address; but where the
/// leader itself was met counts for more.
#[derive(Debug, Default)]
pub(super) struct Rumour {
    /// How often something new was heard: to be looked at without the lock.
    news: AtomicU64,
    newest: Mutex<Option<Heard>>,
}

/// Who leads in a term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) term: u64,
    /// Where it is reached.
    pub(super) address: Arc<str>,
    /// It was the leader that said so.
    is_its_own_word: bool,
}

impl Rumour {
    /// Takes note of what another node says of the leader.
    pub(super) fn hear(&self, term: u64, address: &str) {
        self.note(Heard {
            term,
            address: address.into(),
            is_its_own_word: false,
        });
    }

    /// Takes note of a node that says it leads, met at this address.
    pub(super) fn hear_itself(&self, term: u64, address: &Arc<str>) {
        self.note(Heard {
            term,
            address: Arc::clone(address),
            is_its_own_word: true,
        });
    }

    fn note(&self, heard: Heard) {
        let mut newest = self.newest();
        let is_news = newest.as_ref().is_none_or(|known| {
            heard.term > known.term
                || heard.term == known.term && heard.is_its_own_word && !known.is_its_own_word
        });
        if is_news {
            *newest = Some(heard);
            self.news.fetch_add(1, Ordering::Release);
        }
    }

    /// How often something new was heard.
    pub(super) fn news(&self) -> u64 {
        self.news.load(Ordering::Acquire)
    }

    /// What is known by now.
    pub(super) fn heard(&self) -> Option<Heard> {
        self.newest().clone()
    }

    fn newest(&self) -> MutexGuard<'_, Option<Heard>> {
        // No code that can panic runs between two changes that belong together.
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(rumour: &Rumour) -> Option<(u64, String)> {
        let heard = rumour.heard()?;
        Some((heard.term, heard.address.to_string()))
    }

    #[test]
    fn what_is_older_is_not_believed_and_what_was_said_first_of_a_term_stands() {
        let rumour = Rumour::default();
        assert_eq!((rumour.news(), known(&rumour)), (0, None));
        rumour.hear(5, "a:1");
        for (term, address) in [(4, "b:1"), (5, "localhost:1")] {
            rumour.hear(term, address);
            let still = (1, Some((5, "a:1".to_owned())));
            assert_eq!((rumour.news(), known(&rumour)), still);
        }
        rumour.hear(6, "b:1");
        assert_eq!(
            (rumour.news(), known(&rumour)),
            (2, Some((6, "b:1".into())))
        );
    }

    #[test]
    fn where_the_leader_itself_was_met_counts_for_more_than_what_others_call_it() {
        let rumour = Rumour::default();
        rumour.hear(5, "10.0.0.1:1");
        rumour.hear_itself(5, &"a:1".into());
        rumour.hear(5, "10.0.0.1:1");
        rumour.hear_itself(5, &"b:1".into());
        rumour.hear_itself(4, &"c:1".into());
        assert_eq!(
            (rumour.news(), known(&rumour)),
            (2, Some((5, "a:1".into())))
        );
    }
}
