//! What a generated client method returns, and the seam behind which the request travels.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{self, Poll};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec;
use crate::error::{Error, ErrorKind, Outcome};
use crate::event::Since;
use crate::leadership::LeaderToken;
use crate::subscription::Batches;

/// How fresh the answer of a query must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadLevel {
    /// Sees every write acknowledged before the query began, through any node.
    #[default]
    Linearizable,
    /// As fresh as [`Linearizable`](Self::Linearizable), without an exchange between nodes while the
    /// leader holds its lease: the upper election timeout, counted from the moment at which the last
    /// heartbeat that a quorum answered was sent, less a tenth. Without a lease the read is made
    /// linearizable in the usual way.
    ///
    /// Holds as long as no monotonic clock of the cluster gains more than a tenth on another one, and
    /// none stands still while others go on, as that of a suspended virtual machine may.
    Lease,
    /// As fresh as [`Linearizable`](Self::Linearizable), answered by the node that is asked from its
    /// own state: only the place in the log comes from the leader, not the data.
    Follower,
    /// Sees everything that this client has seen before, its own writes above all, through whatever
    /// node it was; may not see what others have written since. Costs no exchange between nodes.
    Session,
    /// What the asked node has applied, if that holds every write acknowledged this long before the
    /// call reached the node. Costs no exchange between nodes while the last one, of any call, is not
    /// older than that. *Unavailable* if no leader confirms as much; the message says how old the
    /// state may be.
    LocalAtMost(Duration),
    /// Whatever the asked node has applied. May be old without limit, on a node that is cut off for
    /// instance.
    Local,
}

/// Whether a request changes the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Command {
        /// The term whose leader alone may carry it out.
        fence: Option<NonZeroU64>,
    },
    Query(ReadLevel),
}

/// One call on its way: what a [`Transport`] carries.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) service: &'static str,
    pub(crate) operation: Operation,
    pub(crate) payload: Bytes,
    /// What the caller has named a command: it runs once under this key.
    pub(crate) key: Option<Bytes>,
    /// The whole time the caller gives the call; `None` for the client's default.
    pub(crate) deadline: Option<Duration>,
    /// For callers who are not one client: what a session read has to see, in the place of what the
    /// client has seen; and where it is noted what the answer has seen.
    pub(crate) place: Option<Arc<Place>>,
}

/// A place in the log: the index up to which somebody has seen the state, 0 for nothing.
#[derive(Debug, Default)]
pub(crate) struct Place(AtomicU64);

impl Place {
    #[cfg(feature = "http")]
    pub(crate) fn at(index: u64) -> Self {
        Place(AtomicU64::new(index))
    }

    pub(crate) fn index(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// It is there by now, if not further.
    pub(crate) fn reach(&self, index: u64) {
        self.0.fetch_max(index, Ordering::AcqRel);
    }
}

pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Bytes, Error>> + Send>>;

/// Carries requests to the cluster and brings the answers back.
pub(crate) trait Transport: Send + Sync + 'static {
    fn send(&self, request: Request) -> Answer;
    /// The events of a service, from whichever node can give them.
    fn events(&self, service: &'static str, since: Since) -> Batches;
}

/// The connection behind a typed client. Cheap to clone; all clones share it.
#[derive(Clone)]
pub struct Channel {
    transport: Arc<dyn Transport>,
    /// How fresh answers must be where the call does not say.
    reads: ReadLevel,
}

impl Channel {
    pub(crate) fn new(transport: impl Transport) -> Self {
        Channel {
            transport: Arc::new(transport),
            reads: ReadLevel::default(),
        }
    }

    pub(crate) fn with_reads(mut self, level: ReadLevel) -> Self {
        self.reads = level;
        self
    }

    /// Sends a call that is encoded already.
    #[cfg(any(feature = "http", feature = "testing"))]
    pub(crate) fn send(&self, request: Request) -> Answer {
        self.transport.send(request)
    }

    pub(crate) fn events(&self, service: &'static str, since: Since) -> Batches {
        self.transport.events(service, since)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").finish_non_exhaustive()
    }
}

/// Marks a [`Call`] of a command.
#[derive(Debug)]
pub enum CommandCall {}

/// Marks a [`Call`] of a query.
#[derive(Debug)]
pub enum QueryCall {}

/// One call of an operation: a future that also takes options before it is awaited.
///
/// `R` is exactly what the method returns, `Result` included. The call is sent when it is first
/// polled.
///
/// # Errors
/// The [`Error`] is the cluster's; the service's own errors are inside `R`.
#[must_use = "a call does nothing until it is awaited"]
pub struct Call<R, K = CommandCall> {
    state: CallState,
    answer: PhantomData<fn() -> (R, K)>,
}

enum CallState {
    Ready {
        channel: Channel,
        request: Result<Request, Error>,
        /// Sent only if this is valid then.
        token: Option<LeaderToken>,
    },
    Sent(Answer),
    Done,
}

impl<R, K> Call<R, K> {
    /// The whole time this call may take, retries included; 5 s unless set, a day at most.
    ///
    /// What is left of it travels along: no node works on a call whose time is up. A command waits for
    /// half of it at most while 1024 others of its client are under way, and is then *busy*.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        if let CallState::Ready {
            request: Ok(request),
            ..
        } = &mut self.state
        {
            request.deadline = Some(deadline);
        }
        self
    }
}

impl<R> Call<R, CommandCall> {
    /// Carries the command out only while the leadership of this token lasts.
    ///
    /// A token that is no longer valid when the call is sent refuses it at once. From then on its
    /// number guards it, as with [`fence`](Self::fence), wherever the call or the whole process may
    /// be held up on the way.
    ///
    /// # Errors
    /// Of kind [`Fenced`](ErrorKind::Fenced), when that leadership is over.
    pub fn fenced(self, token: &LeaderToken) -> Self {
        let mut call = self.fence(token.term());
        if let CallState::Ready { token: guard, .. } = &mut call.state {
            *guard = Some(token.clone());
        }
        call
    }

    /// Carries the command out only in a log entry of this term: under the leader whose
    /// [`LeaderToken::term`] it is. For those who were given the number without the token, in
    /// another process for instance.
    ///
    /// Every replica compares the number with the term of the entry, so the answer does not depend
    /// on anybody's clock: once a later leader has put an entry into the log, nothing with this
    /// number is carried out any more.
    ///
    /// # Errors
    /// Of kind [`Fenced`](ErrorKind::Fenced), when that leadership is over. *Rejected* for 0, which
    /// is no leader's term.
    pub fn fence(mut self, term: u64) -> Self {
        if let CallState::Ready { request, .. } = &mut self.state {
            match (NonZeroU64::new(term), &mut *request) {
                (Some(term), Ok(request)) => {
                    request.operation = Operation::Command { fence: Some(term) };
                }
                (None, Ok(_)) => {
                    let text = "0 is no fencing number; use the term of a leader's token";
                    *request = Err(Error::rejected(text));
                }
                (_, Err(_)) => {}
            }
        }
        self
    }
}

impl<R> Call<R, QueryCall> {
    /// Answers as fresh as without it, and without an exchange between nodes while the leader holds
    /// its lease: see [`ReadLevel::Lease`] for what that rests on.
    pub fn lease(self) -> Self {
        self.read(ReadLevel::Lease)
    }

    /// Answers as fresh as without it, from the state of the node that is asked: the data need not
    /// come from the leader.
    pub fn follower(self) -> Self {
        self.read(ReadLevel::Follower)
    }

    /// Answers from any node that has applied all this client has seen, its own writes above all.
    pub fn session(self) -> Self {
        self.read(ReadLevel::Session)
    }

    /// Answers from what the asked node has applied, without asking the others. May be old without
    /// limit.
    pub fn local(self) -> Self {
        self.read(ReadLevel::Local)
    }

    /// Answers from what the asked node has applied, if that holds every write acknowledged `age`
    /// before the call reached it.
    ///
    /// # Errors
    /// Of kind [`Unavailable`](ErrorKind::Unavailable), if no leader confirms as much before the
    /// deadline; the message says how old the state may be.
    pub fn local_at_most(self, age: Duration) -> Self {
        self.read(ReadLevel::LocalAtMost(age))
    }

    /// Sets how fresh the answer must be, whatever the client's own setting is.
    pub fn read(mut self, level: ReadLevel) -> Self {
        if let CallState::Ready {
            request: Ok(request),
            ..
        } = &mut self.state
        {
            request.operation = Operation::Query(level);
        }
        self
    }
}

impl<R: DeserializeOwned, K> Future for Call<R, K> {
    type Output = Result<R, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Self::Output> {
        if let CallState::Ready { .. } = self.state {
            let CallState::Ready {
                channel,
                request,
                token,
            } = std::mem::replace(&mut self.state, CallState::Done)
            else {
                unreachable!("matched above");
            };
            let is_over = token.is_some_and(|token| !token.is_valid());
            match request {
                Ok(_) if is_over => {
                    let text = "this node's leadership is over, and the token with it; \
                                nothing was sent";
                    return Poll::Ready(Err(Error::fenced(text)));
                }
                Ok(request) => {
                    self.state = CallState::Sent(channel.transport.send(request));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let CallState::Sent(answer) = &mut self.state else {
            panic!("a call was polled after it had answered");
        };
        let answer = task::ready!(answer.as_mut().poll(context));
        self.state = CallState::Done;
        Poll::Ready(answer.and_then(|bytes| decode_answer(&bytes)))
    }
}

fn decode_answer<R: DeserializeOwned>(bytes: &[u8]) -> Result<R, Error> {
    codec::decode(bytes).map_err(|error| {
        Error::new(
            ErrorKind::Rejected,
            Outcome::Applied,
            "the answer is not of the type this client expects; \
             use a client of the same version as the service",
        )
        .with_source(error)
    })
}

impl<R, K> fmt::Debug for Call<R, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}

// Reached through `__private`, under another name.
#[allow(unreachable_pub)]
#[doc(hidden)]
pub fn __command<R, T: Serialize>(
    channel: &Channel,
    service: &'static str,
    command: &T,
) -> Call<R, CommandCall> {
    call(
        channel,
        service,
        Operation::Command { fence: None },
        command,
    )
}

// Reached through `__private`, under another name.
#[allow(unreachable_pub)]
#[doc(hidden)]
pub fn __query<R, T: Serialize>(
    channel: &Channel,
    service: &'static str,
    query: &T,
) -> Call<R, QueryCall> {
    call(channel, service, Operation::Query(channel.reads), query)
}

fn call<R, K, T: Serialize>(
    channel: &Channel,
    service: &'static str,
    operation: Operation,
    payload: &T,
) -> Call<R, K> {
    let request = match codec::encode(payload) {
        Ok(payload) => Ok(Request {
            service,
            operation,
            payload: payload.into(),
            key: None,
            deadline: None,
            place: None,
        }),
        Err(error) => Err(Error::rejected("the arguments cannot be encoded").with_source(error)),
    };
    Call {
        state: CallState::Ready {
            channel: channel.clone(),
            request,
            token: None,
        },
        answer: PhantomData,
    }
}
