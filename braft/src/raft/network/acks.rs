//! When each peer was last asked something that it then answered to this node as its leader.
//!
//! openraft keeps such a clock too, and credits an answer to the newest message with the same last
//! log id, which may have been sent after the one that was answered. A lease must never begin later
//! than the message that granted it was sent, so it is measured here, from heartbeats: each is one
//! request with one answer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

/// The answers of one term, by peer. Holds no more peers than the term had members.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    term: Mutex<Term>,
    moved: Notify,
}

#[derive(Debug, Default)]
struct Term {
    term: u64,
    sent: BTreeMap<u64, Instant>,
}

impl Acks {
    /// A peer has answered a message of this term's leader that was sent at that moment.
    pub(super) fn answered(&self, term: u64, peer: u64, sent: Instant) {
        let mut now = self.term.lock().unwrap_or_else(PoisonError::into_inner);
        if term < now.term {
            return;
        }
        if term > now.term {
            *now = Term {
                term,
                sent: BTreeMap::new(),
            };
        }
        let last = now.sent.entry(peer).or_insert(sent);
        *last = sent.max(*last);
        drop(now);
        self.moved.notify_one();
    }

    /// When a peer was last sent what it then answered, in this term.
    pub(in crate::raft) fn last(&self, term: u64) -> BTreeMap<u64, Instant> {
        let now = self.term.lock().unwrap_or_else(PoisonError::into_inner);
        if now.term == term {
            now.sent.clone()
        } else {
            BTreeMap::new()
        }
    }

    /// Waits for an answer that has not been looked at yet.
    pub(in crate::raft) async fn moved(&self) {
        self.moved.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_answer_of_an_older_term_or_an_earlier_message_changes_nothing() {
        let acks = Acks::default();
        let now = Instant::now();
        let later = now + Duration::from_millis(1);
        acks.answered(2, 9, later);
        acks.answered(2, 9, now);
        acks.answered(1, 9, later + Duration::from_secs(1));
        assert_eq!(acks.last(2), BTreeMap::from([(9, later)]));
        assert!(acks.last(1).is_empty());
    }

    #[test]
    fn a_new_term_forgets_the_answers_of_the_last() {
        let acks = Acks::default();
        let now = Instant::now();
        acks.answered(1, 8, now);
        acks.answered(2, 9, now);
        assert_eq!(acks.last(2), BTreeMap::from([(9, now)]));
    }
}
