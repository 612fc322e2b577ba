//! The service that clients and forwarding nodes call: streams of frames, many calls on each.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, Fuse};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::access::{Grant, Role};
use crate::error::Error;
use crate::keys::check_key;
use crate::request::{
    Action, Answered, Answering, Gateway, Incoming, LeaderNews, Refusal, Reply, ReplyTo,
    StreamReply, check_size,
};
use crate::trace::TraceContext;
use crate::wire;
use crate::wire::convert::{action_from, answer_to, cluster_id_if_any, cluster_id_to};
use crate::wire::events::{frame_to, since_from};
use crate::wire::v1::calls_server::{self, CallsServer};
use crate::wire::v1::{
    AnswerFrame, CallAnswer, CallFrame, CallRequest, EventsFrame, EventsRequest,
};
use crate::wire::{FRAME_TARGET_BYTES, MAX_CALLS_PER_STREAM, MAX_FRAME_BYTES, MAX_FRAME_ITEMS};
use crate::world;

/// A stream that names no cluster within this time is closed.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// Streams of calls and of events for each connection that a node takes. A client has one of calls,
/// and one for each service whose events it follows.
const STREAMS_PER_CONNECTION: usize = 8;

/// What an answer costs in a frame beside its bytes.
const ANSWER_OVERHEAD_BYTES: usize = 64;

/// The gRPC service `braft.v1.Calls` of a node.
pub(crate) struct Calls {
    gateway: Arc<dyn Gateway>,
    stop: CancellationToken,
    /// Room for streams, of all connections together.
    room: Arc<Semaphore>,
}

impl Calls {
    /// A service that hands calls to `gateway`, for so many connections. Once `stop` is cancelled,
    /// streams take no further call and end when the last one is answered.
    pub(crate) fn service(
        gateway: Arc<dyn Gateway>,
        stop: CancellationToken,
        connections: usize,
    ) -> CallsServer<Self> {
        let streams = connections.saturating_mul(STREAMS_PER_CONNECTION);
        let room = Arc::new(Semaphore::new(streams.min(Semaphore::MAX_PERMITS)));
        let calls = Calls {
            gateway,
            stop,
            room,
        };
        CallsServer::new(calls)
            .max_decoding_message_size(MAX_FRAME_BYTES)
            .max_encoding_message_size(MAX_FRAME_BYTES)
    }

    /// Room for one more stream.
    fn room(&self) -> Result<OwnedSemaphorePermit, Status> {
        self.room.clone().try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(
                "this node serves as many streams as it may; use fewer clients, connect to another \
                 node, or raise max_connections",
            )
        })
    }

    /// The cluster of this node, if the caller may speak to it.
    fn admit(&self, cluster_id: &[u8]) -> Result<u128, Status> {
        let theirs = cluster_id_if_any(cluster_id)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let ours = self.gateway.cluster_id().ok_or_else(|| {
            Status::unavailable("this node is not a member of a cluster yet; try again")
        })?;
        match theirs {
            Some(theirs) if theirs != ours => Err(Status::failed_precondition(format!(
                "this node belongs to cluster {ours:032x}, the caller to {theirs:032x}; \
                 connect to a node of the caller's cluster"
            ))),
            _ => Ok(ours),
        }
    }
}

#[tonic::async_trait]
impl calls_server::Calls for Calls {
    type CallStream = Answers;
    type EventsStream = BoxStream<'static, Result<EventsFrame, Status>>;

    async fn events(
        &self,
        request: Request<EventsRequest>,
    ) -> Result<Response<Self::EventsStream>, Status> {
        let grant = request.extensions().get::<Arc<Grant>>().cloned();
        let request = request.into_inner();
        let cluster_id = self.admit(&request.cluster_id)?;
        let room = self.room()?;
        let since = since_from(request.since)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let mut greeting = Some(cluster_id_to(cluster_id));
        let source = self.gateway.events(&request.service, since);
        let frames = source.map(move |item| {
            let _held = &room;
            if let Some(why) = withheld(grant.as_deref(), "events", Role::Read) {
                return Err(Status::unauthenticated(why));
            }
            Ok(EventsFrame {
                cluster_id: greeting.take().unwrap_or_default(),
                ..frame_to(item)
            })
        });
        let stop = self.stop.clone().cancelled_owned();
        Ok(Response::new(frames.take_until(stop).boxed()))
    }

    async fn call(
        &self,
        request: Request<Streaming<CallFrame>>,
    ) -> Result<Response<Answers>, Status> {
        let room = self.room()?;
        let grant = request.extensions().get::<Arc<Grant>>().cloned();
        let mut frames = request.into_inner();
        let greeting = timeout(GREETING_TIMEOUT, frames.message())
            .await
            .map_err(|_| Status::deadline_exceeded("the stream's first frame did not come"))??
            .ok_or_else(|| Status::invalid_argument("the stream ended before its first frame"))?;
        let cluster_id = self.admit(&greeting.cluster_id)?;

        let (answering, answered) = Answering::new();
        let stream = Arc::new(Shared::default());
        let mut intake = Intake {
            gateway: Arc::clone(&self.gateway),
            stream: Arc::clone(&stream),
            answering,
            grant,
            service: "".into(),
        };
        let stop = self.stop.clone();
        world::spawn(async move {
            intake.take(greeting.requests);
            // Dropping the intake lets the stream end after its last answer.
            stop.run_until_cancelled(intake.run(frames)).await;
        });
        Ok(Response::new(Answers {
            greeting: Some(cluster_id),
            leader: WatchStream::new(self.gateway.watch_leader()).fuse(),
            answered,
            scratch: Vec::new(),
            ready: VecDeque::new(),
            stream,
            _room: room,
        }))
    }
}

/// What both directions of one stream know.
#[derive(Default)]
struct Shared {
    in_flight: AtomicUsize,
    /// Why the incoming direction broke, told to the caller at the end.
    broken: Mutex<Option<Status>>,
}

/// The incoming direction of one stream.
struct Intake {
    gateway: Arc<dyn Gateway>,
    stream: Arc<Shared>,
    answering: Answering,
    /// What the caller's token is good for; nothing is asked of members, nor where there are no tokens.
    grant: Option<Arc<Grant>>,
    /// The service of the last call; most streams name one only.
    service: Arc<str>,
}

impl Intake {
    async fn run(&mut self, mut frames: Streaming<CallFrame>) {
        loop {
            match frames.message().await {
                Ok(Some(frame)) => self.take(frame.requests),
                Ok(None) => return,
                Err(status) => {
                    let broken = &self.stream.broken;
                    *broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
                    return;
                }
            }
        }
    }

    fn take(&mut self, requests: Vec<CallRequest>) {
        let now = Instant::now();
        let mut calls = Vec::with_capacity(requests.len().min(MAX_CALLS_PER_STREAM));
        for request in requests {
            let id = request.id;
            let in_flight = self.stream.in_flight.fetch_add(1, Ordering::Relaxed);
            let call = if in_flight < MAX_CALLS_PER_STREAM {
                self.read(request, now).map_err(Refusal::from)
            } else {
                Err(Refusal::busy(format!(
                    "{MAX_CALLS_PER_STREAM} calls of this stream are under way; send fewer at once"
                )))
            };
            match call {
                Ok(call) => calls.push(call),
                Err(refusal) => self.answering.refuse(id, refusal),
            }
        }
        if !calls.is_empty() {
            self.gateway.submit(calls);
        }
    }

    fn read(&mut self, request: CallRequest, now: Instant) -> Result<Incoming, Error> {
        check_size(&request.payload)?;
        let action =
            action_from(request.operation).map_err(|error| Error::rejected(error.to_string()))?;
        let (what, role) = role_of(action);
        if let Some(why) = withheld(self.grant.as_deref(), what, role) {
            return Err(Error::rejected(why));
        }
        let key = Some(request.idempotency_key).filter(|key| !key.is_empty());
        if let Some(key) = &key {
            check_key(key)?;
        }
        Ok(Incoming {
            service: self.service(&request.service),
            action,
            payload: payload(action, request.payload),
            key,
            deadline: now + Duration::from_millis(request.remaining_ms.into()),
            forwarded: request.forwarded,
            trace: TraceContext::from_bytes(&request.trace_context),
            reply: ReplyTo::Stream(StreamReply::new(request.id, action, self.answering.clone())),
        })
    }

    fn service(&mut self, name: &str) -> Arc<str> {
        if *self.service != *name {
            self.service = name.into();
        }
        Arc::clone(&self.service)
    }
}

/// What a call is, and the role that it needs.
fn role_of(action: Action) -> (&'static str, Role) {
    match action {
        Action::Query { .. } | Action::ReadIndex => ("a query", Role::Read),
        // Only commands need a session.
        Action::Command { .. } | Action::OpenSession | Action::CloseSession { .. } => {
            ("a command", Role::Write)
        }
    }
}

/// Why a caller may not have this, if it may not.
fn withheld(grant: Option<&Grant>, what: &str, role: Role) -> Option<String> {
    let grant = grant.filter(|grant| !grant.may(role))?;
    Some(grant.refusal(what, role))
}

/// Session actions carry no payload; what comes along all the same is dropped.
fn payload(action: Action, payload: Bytes) -> Bytes {
    match action {
        Action::Command { .. } | Action::Query { .. } => payload,
        Action::OpenSession | Action::CloseSession { .. } | Action::ReadIndex => Bytes::new(),
    }
}

/// The outgoing direction of one stream: polled when the last frame is on its way, it takes all the
/// answers that have gathered meanwhile.
pub(crate) struct Answers {
    /// The first frame names the cluster and holds no answer.
    greeting: Option<u128>,
    /// Whoever calls goes to the leader itself.
    leader: Fuse<WatchStream<Option<LeaderNews>>>,
    answered: Answered,
    scratch: Vec<(u64, Reply)>,
    ready: VecDeque<(u64, Reply)>,
    stream: Arc<Shared>,
    _room: OwnedSemaphorePermit,
}

impl Stream for Answers {
    type Item = Result<AnswerFrame, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let leader = this.poll_news(context);
        if let Some(cluster_id) = this.greeting.take() {
            return Poll::Ready(Some(Ok(AnswerFrame {
                cluster_id: cluster_id_to(cluster_id),
                answers: Vec::new(),
                leader,
            })));
        }
        if this.ready.is_empty() {
            let replies = &mut this.answered.replies;
            let polled = replies.poll_recv_many(context, &mut this.scratch, MAX_FRAME_ITEMS);
            if polled.is_pending() && leader.is_some() {
                return Poll::Ready(Some(Ok(AnswerFrame {
                    leader,
                    ..AnswerFrame::default()
                })));
            }
            if ready!(polled) == 0 {
                let mut broken = this
                    .stream
                    .broken
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                return Poll::Ready(broken.take().map(Err));
            }
            this.ready.extend(this.scratch.drain(..));
        }
        let answers = this.pack();
        this.stream
            .in_flight
            .fetch_sub(answers.len(), Ordering::Relaxed);
        Poll::Ready(Some(Ok(AnswerFrame {
            cluster_id: Bytes::new(),
            answers,
            leader,
        })))
    }
}

impl Answers {
    /// Who leads, if that is news.
    fn poll_news(&mut self, context: &mut Context<'_>) -> Option<wire::v1::LeaderNews> {
        let news = Pin::new(&mut self.leader).poll_next(context);
        let Poll::Ready(Some(Some(LeaderNews { term, address }))) = news else {
            return None;
        };
        Some(wire::v1::LeaderNews {
            term,
            address: address.as_deref().unwrap_or_default().to_owned(),
        })
    }

    /// A frame's worth of the answers at hand.
    fn pack(&mut self) -> Vec<CallAnswer> {
        let mut answers = Vec::with_capacity(self.ready.len());
        let mut bytes = 0;
        while bytes < FRAME_TARGET_BYTES
            && let Some((id, reply)) = self.ready.pop_front()
        {
            self.answered.taken(&reply);
            bytes += ANSWER_OVERHEAD_BYTES + size(&reply);
            answers.push(answer_to(id, reply));
        }
        answers
    }
}

fn size(reply: &Reply) -> usize {
    match &reply.result {
        Ok(answer) => answer.len(),
        Err(refusal) => refusal.message.len() + refusal.leader.as_ref().map_or(0, String::len),
    }
}
