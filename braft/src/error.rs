//! The one public error: what happened, and what the caller can do about it.

use std::borrow::Cow;
use std::fmt;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What the caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call itself is wrong: too large, unknown to the nodes, or its answer cannot be read or
    /// sent; or its command panics; or the caller's token is not good for it. Sending it again gives
    /// the same. Fix the call, the command or the token.
    /// The [outcome](Error::outcome) is [`Applied`](Outcome::Applied) if only the answer was at
    /// fault.
    Rejected,
    /// The cluster is at a limit, which the message names, and did nothing. The client tried again
    /// until the deadline, or, where much is refused, as often as is good for the cluster: for one of
    /// ten calls that are answered. For half a second after a node was busy with reads, the client
    /// itself refuses those that go beyond what the node answers and a quarter more: they are not
    /// sent. Back off, then try again; send less at once.
    Busy,
    /// No node that could carry the call out was reached before the deadline, and nothing was done.
    /// Try again.
    Unavailable,
    /// The call was sent and its answer lost. If the [outcome](Error::outcome) is
    /// [`Unknown`](Outcome::Unknown), it may or may not have been applied: read the state before
    /// repeating it. If it is [`Applied`](Outcome::Applied), it was, once, and the answer is no longer
    /// kept.
    UnknownOutcome,
    /// Each session that was opened for the call had expired when the call came, and nothing was
    /// done: sessions expire too early. Raise [`session_expiry_ms`](crate::Settings::session_expiry_ms).
    ///
    /// A session that expires while its client is silent is no error: the next command opens another.
    SessionExpired,
    /// This node cannot start, or has stopped, and will not serve before it is started again. Nothing
    /// was done. The message says why and what to do; another node may serve.
    Fatal,
    /// The fencing number of the call belongs to a leadership that is over, and nothing was done. Stop
    /// what it was for: another node may be at it by now.
    Fenced,
    /// Another command was called with the same idempotency key, and nothing was done. Give each
    /// command a key of its own.
    KeyReused,
    /// Events that a subscriber has not seen yet are no longer kept. Read the state anew, and go on
    /// from there.
    Compacted,
}

/// What is known about the effect of the call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// Every attempt was definitely refused: nothing happened. The call may be made again as a new
    /// one.
    NotApplied,
    /// At least one attempt may have been applied, at most once, even now: what was lost may still
    /// be on its way. A refusal that came after it proves nothing. Made again as a new call, it may
    /// happen twice.
    Unknown,
    /// The command was applied, once, and its answer could not be kept, sent or read. Do not make it
    /// again; read the state instead.
    Applied,
}

/// Why a call, a start or a shutdown failed.
///
/// [`kind`](Error::kind) says what the caller can do, [`outcome`](Error::outcome) what is known
/// about the effect. The text names the thing and the remedy.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    outcome: Outcome,
    message: Cow<'static, str>,
    source: Option<Source>,
}

impl Error {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What is known about the effect of the call.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    pub(crate) fn new(
        kind: ErrorKind,
        outcome: Outcome,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Error(Box::new(Inner {
            kind,
            outcome,
            message: message.into(),
            source: None,
        }))
    }

    pub(crate) fn rejected(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Rejected, Outcome::NotApplied, message)
    }

    pub(crate) fn busy(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Busy, Outcome::NotApplied, message)
    }

    pub(crate) fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unavailable, Outcome::NotApplied, message)
    }

    pub(crate) fn unknown(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::UnknownOutcome, Outcome::Unknown, message)
    }

    pub(crate) fn fatal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Fatal, Outcome::NotApplied, message)
    }

    pub(crate) fn fenced(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Fenced, Outcome::NotApplied, message)
    }

    pub(crate) fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The message without its sources, as it travels between nodes.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} ({:?}): {}",
            self.0.kind, self.0.outcome, self.0.message
        )?;
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|s| &**s as _)
    }
}
