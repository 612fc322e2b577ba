//! The client's side of a session: sequence numbers and the mark of answers received.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OnceCell, Semaphore};

use crate::request::{Action, SESSION_WINDOW};

/// The present session of one client, opened by whoever needs it first.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Arc<OnceCell<Arc<Session>>>>);

impl Sessions {
    /// Where the present session is, or will be once somebody has opened it.
    pub(super) fn present(&self) -> Arc<OnceCell<Arc<Session>>> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The session is gone on the server: the next command opens another.
    pub(super) fn retire(&self, session: &Arc<Session>) {
        let mut present = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if present.get().is_some_and(|now| Arc::ptr_eq(now, session)) {
            *present = Arc::default();
        }
        drop(present);
        // Whoever waits for the window need not wait any longer.
        session.window.close();
    }
}

/// One session.
pub(super) struct Session {
    id: u64,
    /// One permit per sequence number that may still be given out. A number comes back when the
    /// mark passes it, not when its call ends: the server counts from the mark.
    window: Semaphore,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    given_out: u64,
    /// Every call up to this one has ended.
    responded_to: u64,
    /// Calls beyond the mark that have ended; at most a window's worth.
    ended: BTreeSet<u64>,
}

impl Session {
    pub(super) fn new(id: u64) -> Arc<Self> {
        let window = usize::try_from(SESSION_WINDOW).expect("the window is small");
        Arc::new(Session {
            id,
            window: Semaphore::new(window),
            progress: Mutex::default(),
        })
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The next sequence number, once the window has room for it; `None` if the session was retired
    /// meanwhile.
    pub(super) async fn ticket(self: &Arc<Self>) -> Option<Ticket> {
        self.window.acquire().await.ok()?.forget();
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.given_out += 1;
        Some(Ticket {
            session: Arc::clone(self),
            sequence: progress.given_out,
        })
    }

    fn end(&self, sequence: u64) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.ended.insert(sequence);
        let mut passed = 0;
        while progress.ended.first() == Some(&(progress.responded_to + 1)) {
            progress.ended.pop_first();
            progress.responded_to += 1;
            passed += 1;
        }
        drop(progress);
        self.window.add_permits(passed);
    }
}

/// The number of one command, kept over all its attempts. Dropped when its caller no longer waits.
pub(super) struct Ticket {
    session: Arc<Session>,
    sequence: u64,
}

impl Ticket {
    /// The next attempt of this command, with the mark as it is now.
    pub(super) fn action(&self, fence: Option<NonZeroU64>) -> Action {
        let progress = self.session.progress.lock();
        Action::Command {
            session: self.session.id,
            sequence: self.sequence,
            responded_to: progress
                .unwrap_or_else(PoisonError::into_inner)
                .responded_to,
            fence,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.session.end(self.sequence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use tokio::task::unconstrained;

    fn mark(ticket: &Ticket) -> u64 {
        let Action::Command { responded_to, .. } = ticket.action(None) else {
            panic!("a ticket is for a command");
        };
        responded_to
    }

    #[tokio::test]
    async fn the_mark_passes_only_calls_that_ended() {
        let session = Session::new(9);
        let one = session.ticket().await.unwrap();
        let two = session.ticket().await.unwrap();
        let three = session.ticket().await.unwrap();
        let four = session.ticket().await.unwrap();
        assert_eq!([one.sequence, four.sequence], [1, 4]);
        drop(three);
        assert_eq!(mark(&four), 0);
        drop(one);
        assert_eq!(mark(&four), 1);
        drop(two);
        assert_eq!(mark(&four), 3);
    }

    #[tokio::test]
    async fn the_window_counts_from_the_mark() {
        let session = Session::new(9);
        let first = session.ticket().await.unwrap();
        for _ in 1..SESSION_WINDOW {
            session.ticket().await.unwrap();
        }
        // All but the first have ended, and still the server's window has no room.
        assert!(unconstrained(session.ticket()).now_or_never().is_none());
        drop(first);
        assert!(unconstrained(session.ticket()).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_retired_session_lets_its_waiters_go() {
        let sessions = Sessions::default();
        let session = Session::new(9);
        sessions.present().set(Arc::clone(&session)).ok();
        sessions.retire(&session);
        assert!(session.ticket().await.is_none());
        assert!(sessions.present().get().is_none());
    }
}
