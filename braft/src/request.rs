//! A call as it reaches a node, and the way its answer goes back.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::call::ReadLevel;
use crate::error::{Error, ErrorKind, Outcome};
use crate::event::{EventSource, Since};
use crate::metrics::Meter;
use crate::trace::TraceContext;

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
    /// What the caller has named a command; no longer than keys may be.
    pub(crate) key: Option<Bytes>,
    pub(crate) deadline: Instant,
    /// Whether another node passed it on; such a call is never passed on again.
    pub(crate) forwarded: bool,
    /// The trace it belongs to, if its caller has one.
    pub(crate) trace: Option<TraceContext>,
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
    /// Asks the leader up to where a read that begins now has to see the log. The answer is empty;
    /// its [`Reply::index`] says it.
    ReadIndex,
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
    /// Either of them, and counted on the way.
    Metered(Meter, Way),
}

/// The way of an answer that is counted.
#[derive(Debug)]
pub(crate) enum Way {
    Stream(StreamReply),
    Task(oneshot::Sender<Reply>),
}

/// The answers of one stream that nobody has taken yet.
#[derive(Clone, Debug)]
pub(crate) struct Answering {
    /// Unbounded in type, bounded in fact: a stream admits a fixed number of calls.
    replies: mpsc::UnboundedSender<(u64, Reply)>,
    bytes: Arc<AtomicUsize>,
}

/// Bytes of answers that wait for a caller who is slow to take them; beyond it they are not kept.
pub(crate) const MAX_WAITING_ANSWER_BYTES: usize = 32 << 20;

impl Answering {
    /// A place for answers, and where they come out.
    pub(crate) fn new() -> (Self, Answered) {
        let (sender, replies) = mpsc::unbounded_channel();
        let bytes: Arc<AtomicUsize> = Arc::default();
        let answered = Answered {
            replies,
            bytes: bytes.clone(),
        };
        let replies = sender;
        (Answering { replies, bytes }, answered)
    }

    /// Leaves an answer that comes at once: a refusal.
    pub(crate) fn refuse(&self, id: u64, refusal: Refusal) {
        let reply = Reply {
            index: 0,
            result: Err(refusal),
        };
        // A caller that is gone is no error.
        drop(self.replies.send((id, reply)));
    }

    /// Whether an answer of this size may wait; then it counts until it is taken.
    fn has_room(&self, bytes: usize) -> bool {
        let waiting = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if waiting <= MAX_WAITING_ANSWER_BYTES {
            return true;
        }
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        false
    }
}

/// Where the answers of one stream come out; they end when nobody can send one any more.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) replies: mpsc::UnboundedReceiver<(u64, Reply)>,
    bytes: Arc<AtomicUsize>,
}

impl Answered {
    /// Takes note that an answer is on its way to the caller.
    pub(crate) fn taken(&self, reply: &Reply) {
        if let Ok(answer) = &reply.result {
            self.bytes.fetch_sub(answer.len(), Ordering::Relaxed);
        }
    }
}

/// The way back to a stream: see [`ReplyTo::Stream`].
#[derive(Debug)]
pub(crate) struct StreamReply {
    id: u64,
    is_command: bool,
    /// Taken by the answer.
    answering: Option<Answering>,
}

impl StreamReply {
    pub(crate) fn new(id: u64, action: Action, answering: Answering) -> Self {
        StreamReply {
            id,
            is_command: matches!(action, Action::Command { .. }),
            answering: Some(answering),
        }
    }

    fn send(mut self, mut reply: Reply) {
        let Some(answering) = self.answering.take() else {
            return;
        };
        if let Ok(answer) = &reply.result {
            if answer.len() > MAX_ANSWER_BYTES {
                reply.result = Err(too_large(answer.len(), self.is_command));
            } else if !answering.has_room(answer.len()) {
                reply.result = Err(no_room(self.is_command));
            }
        }
        drop(answering.replies.send((self.id, reply)));
    }
}

/// The answer is there, and too many others wait before it.
fn no_room(is_command: bool) -> Refusal {
    let text = format!(
        "answers of {} MiB wait for this caller to take them; ask for less at once",
        MAX_WAITING_ANSWER_BYTES >> 20
    );
    if is_command {
        // Asked again under the same number, it is answered from its session.
        Refusal::lost(text)
    } else {
        Refusal::busy(text)
    }
}

impl Drop for StreamReply {
    fn drop(&mut self) {
        if let Some(answering) = self.answering.take() {
            let lost = Refusal::lost("the node dropped the call without an answer");
            answering.refuse(self.id, lost);
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
    /// The same, counted by a meter.
    pub(crate) fn metered(self, meter: Meter) -> Self {
        match self {
            ReplyTo::Stream(stream) => ReplyTo::Metered(meter, Way::Stream(stream)),
            ReplyTo::Task(sender) => ReplyTo::Metered(meter, Way::Task(sender)),
            metered @ ReplyTo::Metered(..) => {
                // The first one counts, and this one was never begun.
                meter.forget();
                metered
            }
        }
    }

    /// Sends the answer. A caller that is gone is no error.
    pub(crate) fn send(self, reply: Reply) {
        self.send_at(reply, None);
    }

    /// The same at a known moment: many answers that go back together share one look at the clock.
    pub(crate) fn send_at(self, reply: Reply, now: Option<Instant>) {
        match self {
            ReplyTo::Stream(stream) => stream.send(reply),
            ReplyTo::Task(sender) => drop(sender.send(reply)),
            ReplyTo::Metered(meter, way) => {
                let refused = reply.result.as_ref().err().map(|refusal| refusal.kind);
                meter.end(refused, now);
                match way {
                    Way::Stream(stream) => stream.send(reply),
                    Way::Task(sender) => drop(sender.send(reply)),
                }
            }
        }
    }

    /// The span of a call that is counted.
    pub(crate) fn span(&self) -> Option<&tracing::Span> {
        match self {
            ReplyTo::Metered(meter, _) => Some(meter.span()),
            ReplyTo::Stream(_) | ReplyTo::Task(_) => None,
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
    /// The events of a service, from this node.
    fn events(&self, service: &str, since: Since) -> EventSource;
    /// The cluster this node is a member of, once it is one.
    fn cluster_id(&self) -> Option<u128>;
    /// Who leads, as far as this node knows, now and whenever there is another leader.
    fn watch_leader(&self) -> watch::Receiver<Option<LeaderNews>>;
}

/// Who leads a cluster in a term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaderNews {
    pub(crate) term: u64,
    /// Where it is reached; `None` if it is the node that tells.
    pub(crate) address: Option<Arc<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: Action = Action::Query {
        level: ReadLevel::Linearizable,
        min_index: 0,
    };
    const COMMAND: Action = Action::Command {
        session: 1,
        sequence: 1,
        responded_to: 0,
        fence: None,
    };

    #[test]
    fn answers_that_nobody_takes_are_bounded_and_none_is_said_not_to_have_happened() {
        let (answering, mut answered) = Answering::new();
        let answer = Bytes::from(vec![0; MAX_ANSWER_BYTES]);
        let send = |action| {
            StreamReply::new(1, action, answering.clone()).send(Reply {
                index: 1,
                result: Ok(answer.clone()),
            });
        };
        let fit = MAX_WAITING_ANSWER_BYTES / MAX_ANSWER_BYTES;
        for _ in 0..fit {
            send(QUERY);
        }
        send(QUERY);
        send(COMMAND);
        for _ in 0..fit {
            let (_, reply) = answered.replies.try_recv().unwrap();
            assert!(reply.result.is_ok());
            answered.taken(&reply);
        }
        let mut refused = || answered.replies.try_recv().unwrap().1.result.unwrap_err();
        assert_eq!(refused().kind, ErrorKind::Busy);
        assert_eq!(refused().outcome, Outcome::Unknown);
        // What was taken made room.
        send(COMMAND);
        assert!(answered.replies.try_recv().unwrap().1.result.is_ok());
    }
}
