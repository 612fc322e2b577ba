//! What to do after a refused attempt, and what may be said when no further one is made.
//!
//! "Nothing happened" is said only if every attempt was definitely refused. An attempt that was
//! lost may still be applied later, so a definite refusal of a later attempt proves nothing.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::error::{Error, ErrorKind, Outcome};
use crate::request::Refusal;

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// How often a call goes straight where a node says the leader is. Nodes that point at each other
/// while the leader changes must not make it spin.
const MAX_LEAPS: u32 = 2;

/// What a call has been through so far.
pub(super) struct Trail {
    changes_state: bool,
    allowed: Duration,
    /// Whether an attempt may have been applied.
    lost: bool,
    last: Option<Refusal>,
    leaps: u32,
    /// Nodes in a row that said they have stopped.
    stopped: usize,
    backoff: Backoff,
}

/// What to do next.
#[derive(Debug)]
pub(super) enum Verdict {
    Retry(Duration),
    /// The session is gone and the command was certainly not applied: send it in another one.
    Reopen(Duration),
    Fail(Error),
}

impl Trail {
    /// `changes_state` is false for what may be repeated without harm.
    pub(super) fn new(changes_state: bool, allowed: Duration) -> Self {
        Trail {
            changes_state,
            allowed,
            lost: false,
            last: None,
            leaps: 0,
            stopped: 0,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
        }
    }

    /// Whether an attempt may have been applied.
    pub(super) fn has_lost(&self) -> bool {
        self.lost
    }

    /// Judges a refusal; `leader_found` if the next attempt goes where the refusal said the leader
    /// is, `nodes` the number of nodes to try.
    pub(super) fn judge(&mut self, refusal: Refusal, leader_found: bool, nodes: usize) -> Verdict {
        match refusal.outcome {
            // Definite whatever happened before: it is about this very request.
            Outcome::Applied => return Verdict::Fail(refusal.into()),
            Outcome::Unknown => {
                self.lost |= self.changes_state;
                return self.again(refusal, leader_found);
            }
            Outcome::NotApplied if refusal.settled => return Verdict::Fail(refusal.into()),
            Outcome::NotApplied => {}
        }
        match refusal.kind {
            ErrorKind::Rejected | ErrorKind::Fenced if !refusal.retry => self.fail(refusal),
            ErrorKind::SessionExpired if self.lost => self.fail(refusal),
            ErrorKind::SessionExpired if self.changes_state => {
                self.last = Some(refusal);
                Verdict::Reopen(self.backoff.pause())
            }
            ErrorKind::SessionExpired => self.fail(refusal),
            ErrorKind::Fatal => {
                self.stopped += 1;
                if self.stopped >= nodes {
                    return self.fail(refusal);
                }
                self.again(refusal, leader_found)
            }
            _ => {
                self.stopped = 0;
                self.again(refusal, leader_found)
            }
        }
    }

    /// The error of a call whose time is up; `under_way` if an attempt has no answer yet.
    pub(super) fn expired(&mut self, under_way: bool) -> Error {
        self.lost |= under_way && self.changes_state;
        let (kind, last) = match &self.last {
            Some(last) => (last.kind, last.message.as_str()),
            None => (ErrorKind::Unavailable, "no node has answered"),
        };
        let message = format!("no answer within {:?}; last: {last}", self.allowed);
        match kind {
            _ if self.lost => Error::unknown(message),
            ErrorKind::Busy => Error::busy(message),
            ErrorKind::Fatal => Error::fatal(message),
            ErrorKind::SessionExpired => Error::new(kind, Outcome::NotApplied, message),
            _ => Error::unavailable(message),
        }
    }

    /// The error of a command that found no room in the window of its session for so long.
    pub(super) fn crowded_out(&self, waited: Duration) -> Error {
        let message = format!(
            "other commands of this client filled its window for {waited:?}; send fewer at once"
        );
        if self.lost {
            return Error::unknown(message);
        }
        Error::busy(message)
    }

    fn again(&mut self, refusal: Refusal, leader_found: bool) -> Verdict {
        self.last = Some(refusal);
        if leader_found && self.leaps < MAX_LEAPS {
            self.leaps += 1;
            return Verdict::Retry(Duration::ZERO);
        }
        Verdict::Retry(self.backoff.pause())
    }

    fn fail(&self, refusal: Refusal) -> Verdict {
        if !self.lost {
            return Verdict::Fail(refusal.into());
        }
        Verdict::Fail(Error::unknown(format!(
            "an earlier attempt was lost and may have been applied; the last one was refused: {}",
            refusal.message
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Duration = Duration::from_secs(5);

    fn refusal(kind: ErrorKind, outcome: Outcome) -> Refusal {
        Refusal {
            kind,
            outcome,
            message: "because".to_owned(),
            leader: None,
            retry: false,
            settled: false,
        }
    }

    fn failed(verdict: Verdict) -> (ErrorKind, Outcome) {
        match verdict {
            Verdict::Fail(error) => (error.kind(), error.outcome()),
            other => panic!("expected the end, got {other:?}"),
        }
    }

    #[test]
    fn a_definite_refusal_after_a_lost_attempt_is_unknown() {
        for kind in [
            ErrorKind::Rejected,
            ErrorKind::SessionExpired,
            ErrorKind::Fatal,
            ErrorKind::Fenced,
        ] {
            let mut trail = Trail::new(true, ALLOWED);
            let verdict = trail.judge(Refusal::lost("broken"), false, 1);
            assert!(matches!(verdict, Verdict::Retry(_)));
            let verdict = trail.judge(refusal(kind, Outcome::NotApplied), false, 1);
            assert_eq!(
                failed(verdict),
                (ErrorKind::UnknownOutcome, Outcome::Unknown)
            );
        }
    }

    #[test]
    fn busy_after_a_lost_attempt_ends_unknown() {
        let mut trail = Trail::new(true, ALLOWED);
        trail.judge(Refusal::lost("broken"), false, 1);
        trail.judge(Refusal::busy("full"), false, 1);
        assert_eq!(trail.expired(false).outcome(), Outcome::Unknown);
    }

    #[test]
    fn an_applied_command_is_definite_even_after_a_lost_attempt() {
        let mut trail = Trail::new(true, ALLOWED);
        trail.judge(Refusal::lost("broken"), false, 1);
        let verdict = trail.judge(refusal(ErrorKind::Rejected, Outcome::Applied), false, 1);
        assert_eq!(failed(verdict), (ErrorKind::Rejected, Outcome::Applied));
    }

    #[test]
    fn what_the_session_has_settled_is_definite_even_after_a_lost_attempt() {
        let mut trail = Trail::new(true, ALLOWED);
        trail.judge(Refusal::lost("broken"), false, 1);
        let verdict = trail.judge(Refusal::without_effect("it panicked"), false, 1);
        assert_eq!(failed(verdict), (ErrorKind::Rejected, Outcome::NotApplied));
    }

    #[test]
    fn nothing_happened_is_said_if_every_attempt_was_refused() {
        let mut trail = Trail::new(true, ALLOWED);
        trail.judge(Refusal::busy("full"), false, 1);
        let error = trail.expired(false);
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert_eq!(error.outcome(), Outcome::NotApplied);
        assert!(error.to_string().contains("full"), "{error}");
    }

    #[test]
    fn an_attempt_under_way_at_the_deadline_is_unknown_for_commands_only() {
        let outcome = |changes| Trail::new(changes, ALLOWED).expired(true).outcome();
        assert_eq!(outcome(true), Outcome::Unknown);
        assert_eq!(outcome(false), Outcome::NotApplied);
    }

    #[test]
    fn an_expired_session_is_reopened_if_nothing_was_lost() {
        let mut trail = Trail::new(true, ALLOWED);
        let expired = refusal(ErrorKind::SessionExpired, Outcome::NotApplied);
        assert!(matches!(trail.judge(expired, false, 3), Verdict::Reopen(_)));
    }

    #[test]
    fn leaps_to_the_leader_are_bounded() {
        let mut trail = Trail::new(true, ALLOWED);
        for leap in 0..10 {
            let refusal = Refusal::not_here("elsewhere", Some("a:1".to_owned()));
            let Verdict::Retry(pause) = trail.judge(refusal, true, 3) else {
                panic!("a hint is followed");
            };
            assert_eq!(pause.is_zero(), leap < MAX_LEAPS);
        }
    }

    #[test]
    fn fatal_is_returned_once_every_node_said_so() {
        let mut trail = Trail::new(true, ALLOWED);
        let fatal = || refusal(ErrorKind::Fatal, Outcome::NotApplied);
        assert!(matches!(trail.judge(fatal(), false, 2), Verdict::Retry(_)));
        assert_eq!(failed(trail.judge(fatal(), false, 2)).0, ErrorKind::Fatal);
    }
}
