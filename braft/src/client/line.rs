//! What the two directions of one stream share: calls waiting, calls on the wire.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::flights::Flights;
use crate::request::{Incoming, Refusal, ReplyTo};
use crate::wire::convert::{action_to, answer_from, cluster_id_to};
use crate::wire::v1::{CallAnswer, CallFrame, CallRequest};
use crate::wire::{FRAME_TARGET_BYTES, MAX_CALLS_PER_STREAM, MAX_FRAME_ITEMS};

/// What a request costs in a frame beside its payload: ids, lengths, tags, the service's name.
const REQUEST_OVERHEAD_BYTES: usize = 64;

/// One stream, seen from both of its directions.
pub(super) struct Line(Mutex<Inner>);

struct Inner {
    phase: Phase,
    /// Calls that no frame has room for yet.
    waiting: VecDeque<Incoming>,
    /// Bytes of the waiting calls, those in the queue included.
    waiting_bytes: Arc<AtomicUsize>,
    /// `None` once closed.
    queue: Option<mpsc::Receiver<Incoming>>,
    scratch: Vec<Incoming>,
    flights: Flights,
    writer: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The first frame, which names the cluster and holds no call, is to be sent.
    Greeting(Option<u128>),
    /// No call is put on the wire before the node has shown that it is of the same cluster.
    Waiting,
    Open,
    Closed,
}

impl Line {
    pub(super) fn new(
        queue: mpsc::Receiver<Incoming>,
        waiting_bytes: Arc<AtomicUsize>,
        cluster_id: Option<u128>,
    ) -> Arc<Self> {
        Arc::new(Line(Mutex::new(Inner {
            phase: Phase::Greeting(cluster_id),
            waiting: VecDeque::new(),
            waiting_bytes,
            queue: Some(queue),
            scratch: Vec::new(),
            flights: Flights::default(),
            writer: None,
        })))
    }

    /// Lets calls flow.
    pub(super) fn open(&self) {
        let mut inner = self.lock();
        inner.phase = Phase::Open;
        wake(inner);
    }

    /// Hands answers to their callers, but for those that a test wants to be lost.
    pub(super) fn land(&self, answers: Vec<CallAnswer>, is_lost: impl Fn() -> bool) {
        let mut inner = self.lock();
        let was_full = inner.flights.len() >= MAX_CALLS_PER_STREAM;
        let landed: Vec<_> = answers
            .into_iter()
            .filter_map(|answer| {
                let (id, reply) = answer_from(answer);
                Some((inner.flights.remove(id)?, reply))
            })
            .collect();
        if was_full {
            wake(inner);
        } else {
            drop(inner);
        }
        for (caller, reply) in landed {
            if is_lost() {
                caller.refuse(Refusal::lost("the answer was lost on its way"));
            } else {
                caller.send(reply);
            }
        }
    }

    /// Ends the stream. Calls never put on the wire had no effect; of the others nothing is known.
    pub(super) fn close(&self, reason: &str) {
        let mut inner = self.lock();
        inner.phase = Phase::Closed;
        let mut unsent: Vec<Incoming> = inner.waiting.drain(..).collect();
        if let Some(mut queue) = inner.queue.take() {
            queue.close();
            while let Ok(call) = queue.try_recv() {
                unsent.push(call);
            }
        }
        let flown = inner.flights.take_all();
        wake(inner);
        for call in unsent {
            call.reply.refuse(Refusal::not_here(reason, None));
        }
        for caller in flown {
            caller.refuse(Refusal::lost(reason));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that can panic runs between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(mut inner: MutexGuard<'_, Inner>) {
    let writer = inner.writer.take();
    drop(inner);
    if let Some(writer) = writer {
        writer.wake();
    }
}

/// The outgoing direction: polled when the last frame is on its way, it takes everything that has
/// gathered meanwhile; with nothing under way a call goes at once.
pub(super) struct Frames(pub(super) Arc<Line>);

impl Stream for Frames {
    type Item = CallFrame;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<CallFrame>> {
        let now = Instant::now();
        let mut refused = Vec::new();
        let mut inner = self.0.lock();
        let frame = inner.poll_frame(context, now, &mut refused);
        if frame.is_pending() {
            inner.writer = Some(context.waker().clone());
        }
        drop(inner);
        for (caller, refusal) in refused {
            caller.refuse(refusal);
        }
        frame
    }
}

/// Callers to be told once the lock is free.
type Refused = Vec<(ReplyTo, Refusal)>;

impl Inner {
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
        now: Instant,
        refused: &mut Refused,
    ) -> Poll<Option<CallFrame>> {
        match self.phase {
            Phase::Greeting(cluster_id) => {
                self.phase = Phase::Waiting;
                return Poll::Ready(Some(CallFrame {
                    cluster_id: cluster_id.map(cluster_id_to).unwrap_or_default(),
                    requests: Vec::new(),
                }));
            }
            Phase::Waiting => return Poll::Pending,
            Phase::Closed => return Poll::Ready(None),
            Phase::Open => {}
        }
        loop {
            let requests = self.fill(now, refused);
            if !requests.is_empty() {
                return Poll::Ready(Some(CallFrame {
                    cluster_id: Default::default(),
                    requests,
                }));
            }
            let room = self.room(now, refused).min(MAX_FRAME_ITEMS);
            let Some(queue) = &mut self.queue else {
                return Poll::Ready(None);
            };
            if room == 0 {
                return Poll::Pending;
            }
            match queue.poll_recv_many(context, &mut self.scratch, room) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(0) => return Poll::Ready(None),
                Poll::Ready(_) => self.waiting.extend(self.scratch.drain(..)),
            }
        }
    }

    /// How many calls may be put on the wire.
    fn room(&mut self, now: Instant, refused: &mut Refused) -> usize {
        if self.flights.len() >= MAX_CALLS_PER_STREAM {
            for caller in self.flights.overdue(now) {
                let refusal = Refusal::lost("the node did not answer by the deadline");
                refused.push((caller, refusal));
            }
        }
        MAX_CALLS_PER_STREAM - self.flights.len()
    }

    /// A frame's worth of the waiting calls; those whose time is up are refused unsent.
    fn fill(&mut self, now: Instant, refused: &mut Refused) -> Vec<CallRequest> {
        let mut requests = Vec::new();
        let mut bytes = 0;
        while bytes < FRAME_TARGET_BYTES
            && let Some(call) = self.waiting.pop_front()
        {
            let waited = call.payload.len();
            self.waiting_bytes.fetch_sub(waited, Ordering::Relaxed);
            let remaining = call.deadline.saturating_duration_since(now);
            if remaining.is_zero() {
                let message = "the deadline passed before the call was sent";
                refused.push((call.reply, Refusal::not_here(message, None)));
                continue;
            }
            bytes += call.payload.len() + REQUEST_OVERHEAD_BYTES;
            requests.push(CallRequest {
                id: self.flights.insert(call.reply, call.deadline),
                service: call.service.as_ref().to_owned(),
                payload: call.payload,
                remaining_ms: whole_ms(remaining),
                forwarded: call.forwarded,
                operation: Some(action_to(call.action)),
                idempotency_key: call.key.unwrap_or_default(),
                trace_context: call
                    .trace
                    .map_or_else(Bytes::new, |trace| Bytes::copy_from_slice(trace.as_bytes())),
            });
        }
        requests
    }
}

/// Milliseconds, rounded up: what is left is never shown as nothing.
fn whole_ms(time: Duration) -> u32 {
    u32::try_from(time.as_micros().div_ceil(1000)).unwrap_or(u32::MAX)
}
