//! Commands that are not carried out, and commands without effect: what their callers are told.

use std::fmt;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::apply::Panic;
use super::panics::STRIKES;
use super::{Machine, Replica};
use crate::codec;
use crate::error::{Error, ErrorKind, Outcome};
use crate::request::Refusal;
use crate::session::{Admission, Place};

/// What panics have said, kept for their callers.
const MAX_TEXTS: usize = 64;
const UNCONFIRMED: &str = "the log does not yet say that it has no effect";

/// Runs user code; a panic becomes its message.
// The state that a panicking command leaves behind is never used again.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "without a message".to_owned())
    })
}

/// The method that a command calls.
pub(super) fn method_of(payload: &[u8]) -> String {
    // Whoever applies a command has decoded it, or is about to fail.
    codec::variant_name(payload).unwrap_or_default()
}

/// "command Counter.add at log id 2.17.3 panicked: the message"
impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Panic {
            what,
            step: _,
            position,
            service,
            method,
            message,
        } = self;
        write!(
            f,
            "{what} {service}.{method} at log id {position} panicked: {message}"
        )
    }
}

impl Panic {
    /// What its caller is told at first. That it has no effect is said once the log does: until
    /// then a binary in which it does not panic might still carry it out, after a restart.
    pub(super) fn unconfirmed(&self) -> Refusal {
        Refusal::lost(format!("{self}; {UNCONFIRMED}"))
    }

    /// Why a replica halts on it.
    pub(super) fn why_halted(&self) -> String {
        format!(
            "{self}; this node carries out nothing more, as on_panic = halt says: let the command \
             return an error instead, then start the new binary on every node"
        )
    }
}

impl Replica {
    /// Keeps what a panic said, for its caller.
    pub(super) fn keep_text(&mut self, place: Place, text: String) {
        self.panic_texts.insert(place, text);
        while self.panic_texts.len() > MAX_TEXTS {
            self.panic_texts.pop_first();
        }
    }

    /// What the caller of a command is told that has panicked.
    // The message of the panic is not replicated: it may differ between replicas.
    pub(super) fn has_panicked(&self, place: Place, service: &[u8], payload: &[u8]) -> Refusal {
        let text = self.panic_texts.get(&place).cloned();
        let text = text.unwrap_or_else(|| {
            let service = String::from_utf8_lossy(service);
            let method = method_of(payload);
            format!("command {service}.{method} panicked")
        });
        if !self.panics.is_confirmed(place) {
            return Refusal::lost(format!("{text}; {UNCONFIRMED}"));
        }
        Refusal::without_effect(format!(
            "{text}; it had no effect: let it return an error instead"
        ))
    }
}

/// What the caller of a command is told whose method has panicked too often.
pub(super) fn was_refused(service: &[u8], payload: &[u8]) -> Refusal {
    let service = String::from_utf8_lossy(service);
    Refusal::without_effect(refusal_of(&service, &method_of(payload)))
}

fn refusal_of(service: &str, method: &str) -> String {
    format!(
        "command {service}.{method} has panicked {STRIKES} times and is refused until an operator \
         clears it: start a binary in which it returns an error instead, then call \
         Node::clear_panics({service:?}, {method:?})"
    )
}

impl Machine {
    /// Spares the log a command that would be refused, unless its session knows an answer to it.
    pub(crate) fn refused(
        &self,
        service: &str,
        payload: &[u8],
        session: u64,
        sequence: u64,
    ) -> Option<Refusal> {
        if !self.has_panics() {
            return None;
        }
        let method = codec::variant_name(payload)?;
        let refused = self.glance(|replica| {
            replica.panics.refuses(service, &method)
                && !replica.sessions.is_settled(session, sequence)
        })?;
        // Of an earlier attempt that is under way nothing is known here.
        refused.then(|| Refusal {
            settled: false,
            ..Refusal::without_effect(refusal_of(service, &method))
        })
    }
}

/// What the caller of a command is told that its session does not let run.
pub(super) fn refusal(admission: &Admission) -> Refusal {
    let (kind, outcome, message) = match admission {
        Admission::Expired => (
            ErrorKind::SessionExpired,
            Outcome::NotApplied,
            "the session has expired: no command arrived for its expiry time, or it was closed",
        ),
        Admission::BeyondWindow => (
            ErrorKind::Busy,
            Outcome::NotApplied,
            "more commands of one session are under way than its window holds; wait for answers",
        ),
        Admission::AnswerDropped
        | Admission::Run
        | Admission::Answered(_)
        | Admission::Panicked(_)
        | Admission::KeyReused
        | Admission::NoRoomForKey
        | Admission::Refused => (
            ErrorKind::UnknownOutcome,
            Outcome::Applied,
            "the command was applied once, and its answer is no longer kept",
        ),
    };
    Refusal {
        kind,
        outcome,
        message: message.to_owned(),
        leader: None,
        retry: false,
        settled: false,
    }
}

/// The refusal of a command whose fencing number is not the term of its entry.
pub(crate) fn stale_fence(fence: Option<NonZeroU64>, term: u64) -> Refusal {
    let number = fence.map_or(0, NonZeroU64::get);
    Refusal::from(Error::fenced(format!(
        "fencing number {number} belongs to a leadership that is over: the term is {term}; \
         stop what it was given for"
    )))
}
