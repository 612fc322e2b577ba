//! A call as it reaches a node, and the way its answer goes back.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::call::ReadLevel;
use crate::error::{Error, ErrorKind, Outcome};

/// Commands of one session that may be under way at once. The session table remembers this many
/// answers beyond the client's mark; a client waits rather than send further ones.
pub(crate) const SESSION_WINDOW: u64 = 1024;

/// The largest command or query a client may send.
pub(crate) const MAX_COMMAND_BYTES: usize = 1 << 20;

/// The largest answer that travels to another process.
pub(crate) const MAX_ANSWER_BYTES: usize = 4 << 20;

/// Refuses a command or query that is over [`MAX_COMMAND_BYTES`].
pub(crate) fn check_size(payload: &[u8]) -> Result<(), Error> {
    if payload.len() <= MAX_COMMAND_BYTES {
        return Ok(());
    }
    Err(Error::rejected(format!(
        "the call has {} bytes, the limit is {MAX_COMMAND_BYTES}; split it",
        payload.len()
    )))
}

/// One call at the door of a node.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) service: Arc<str>,
    pub(crate) action: Action,
    /// MessagePack of the service's command or query; empty for session actions.
    pub(crate) payload: Bytes,
    pub(crate) deadline: Instant,
    /// Whether another node passed it on; such a call is never passed on again.
    pub(crate) forwarded: bool,
    pub(crate) reply: ReplyTo,
}

/// What a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Command {
        session: u64,
        sequence: u64,
        responded_to: u64,
        /// Carry it out only in an entry of this term.
        fence: Option<NonZeroU64>,
    },
    Query {
        level: ReadLevel,
        min_index: u64,
    },
    /// The answer is the new session's id, as 8 little-endian bytes.
    OpenSession,
    CloseSession {
        session: u64,
    },
}

/// The answer to one [`Incoming`].
#[derive(Debug)]
pub(crate) struct Reply {
    /// The log index up to which the answer has seen the state; 0 if unknown.
    pub(crate) index: u64,
    pub(crate) result: Result<Bytes, Refusal>,
}

/// Why an attempt of a call was not answered.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: ErrorKind,
    pub(crate) outcome: Outcome,
    pub(crate) message: String,
    /// Where the leader is, if known and elsewhere: "host:port".
    pub(crate) leader: Option<String>,
    /// Nothing happened on account of this attempt, and another may succeed.
    pub(crate) retry: bool,
    /// The outcome is that of the command under all its attempts: none of them will have another.
    pub(crate) settled: bool,
}

impl Refusal {
    /// This node cannot take the call now; nothing happened; try again, at `leader` if known.
    pub(crate) fn not_here(message: impl Into<String>, leader: Option<String>) -> Self {
        Refusal {
            kind: ErrorKind::Unavailable,
            outcome: Outcome::NotApplied,
            message: message.into(),
            leader,
            retry: true,
            settled: false,
        }
    }

    /// This node is at a limit and did nothing.
    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Refusal {
            kind: ErrorKind::Busy,
            outcome: Outcome::NotApplied,
            message: message.into(),
            leader: None,
            retry: true,
            settled: false,
        }
    }

    /// The attempt was under way and what became of it is not known.
    pub(crate) fn lost(message: impl Into<String>) -> Self {
        Refusal {
            kind: ErrorKind::UnknownOutcome,
            outcome: Outcome::Unknown,
            message: message.into(),
            leader: None,
            retry: false,
            settled: false,
        }
    }

    /// The session has settled that the command has no effect, whatever became of its attempts.
    pub(crate) fn without_effect(message: impl Into<String>) -> Self {
        Refusal {
            kind: ErrorKind::Rejected,
            outcome: Outcome::NotApplied,
            message: message.into(),
            leader: None,
            retry: false,
            settled: true,
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal {
            kind: error.kind(),
            outcome: error.outcome(),
            message: error.message().to_owned(),
            leader: None,
            retry: false,
            settled: false,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Error::new(refusal.kind, refusal.outcome, refusal.message)
    }
}

/// Where an answer goes. Dropping it unsent tells the caller that its attempt was lost.
#[derive(Debug)]
pub(crate) enum ReplyTo {
    /// To the stream it came from, which packs answers into frames.
    Stream(StreamReply),
    /// To a waiting task of this process.
    Task(oneshot::Sender<Reply>),
}

/// The way back to a stream: see [`ReplyTo::Stream`].
#[derive(Debug)]
pub(crate) struct StreamReply {
    id: u64,
    is_command: bool,
    /// Taken by the answer. Unbounded in type, bounded in fact: a stream admits a fixed number of
    /// calls.
    replies: Option<mpsc::UnboundedSender<(u64, Reply)>>,
}

impl StreamReply {
    pub(crate) fn new(
        id: u64,
        action: Action,
        replies: mpsc::UnboundedSender<(u64, Reply)>,
    ) -> Self {
        StreamReply {
            id,
            is_command: matches!(action, Action::Command { .. }),
            replies: Some(replies),
        }
    }

    fn send(mut self, mut reply: Reply) {
        if let Ok(answer) = &reply.result
            && answer.len() > MAX_ANSWER_BYTES
        {
            reply.result = Err(too_large(answer.len(), self.is_command));
        }
        if let Some(replies) = self.replies.take() {
            drop(replies.send((self.id, reply)));
        }
    }
}

impl Drop for StreamReply {
    fn drop(&mut self) {
        if let Some(replies) = self.replies.take() {
            let reply = Reply {
                index: 0,
                result: Err(Refusal::lost("the node dropped the call without an answer")),
            };
            drop(replies.send((self.id, reply)));
        }
    }
}

fn too_large(bytes: usize, is_command: bool) -> Refusal {
    Refusal {
        kind: ErrorKind::Rejected,
        outcome: if is_command {
            Outcome::Applied
        } else {
            Outcome::NotApplied
        },
        message: format!(
            "the answer has {bytes} bytes, the limit is {MAX_ANSWER_BYTES}; ask for less at a time"
        ),
        leader: None,
        retry: false,
        settled: false,
    }
}

impl ReplyTo {
    /// Sends the answer. A caller that is gone is no error.
    pub(crate) fn send(self, reply: Reply) {
        match self {
            ReplyTo::Stream(stream) => stream.send(reply),
            ReplyTo::Task(sender) => drop(sender.send(reply)),
        }
    }

    pub(crate) fn refuse(self, refusal: impl Into<Refusal>) {
        self.send(Reply {
            index: 0,
            result: Err(refusal.into()),
        });
    }
}

/// Takes calls: the node behind the door.
pub(crate) trait Gateway: Send + Sync + 'static {
    /// Takes calls that came together. Every one is answered through its [`ReplyTo`], in any
    /// order, or the reply is dropped.
    fn submit(&self, calls: Vec<Incoming>);
    /// The cluster this node is a member of, once it is one.
    fn cluster_id(&self) -> Option<u128>;
}
