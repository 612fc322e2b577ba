//! The one public error: what happened, and what the caller can do about it.

use std::borrow::Cow;
use std::fmt;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What the caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call itself is wrong, or its command panics: sending it again gives the same answer. Fix
    /// the call, or the command.
    Rejected,
    /// The cluster is at a limit and did nothing. Back off, then try again.
    Busy,
    /// No leader could be reached before the deadline and nothing was done. Try again.
    Unavailable,
    /// The call was sent and its answer lost: it may or may not have been applied.
    /// Read the state before repeating it.
    UnknownOutcome,
    /// The session this call belonged to expired before the call was sent.
    SessionExpired,
    /// This node stopped and will not serve again until it is restarted. The message says why.
    Fatal,
    /// The fencing number of the call belongs to a leadership that is over. Stop what it was for:
    /// another node may be at it by now.
    Fenced,
}

/// What is known about the effect of the call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// Every attempt was definitely refused: nothing happened.
    NotApplied,
    /// At least one attempt may have been applied.
    Unknown,
    /// The command was applied, and its answer could not be kept or sent.
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
