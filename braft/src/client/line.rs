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
use tokio::time::{Instant, Sleep, sleep_until};

use super::flights::{Flight, Flights};
use super::throttle::{Ended, Reads, Throttle};
use crate::error::ErrorKind;
use crate::request::{Incoming, Refusal, ReplyTo};
use crate::wire::convert::{action_to, answer_from, cluster_id_to};
use crate::wire::v1::{CallAnswer, CallFrame, CallRequest};
use crate::wire::{FRAME_TARGET_BYTES, MAX_CALLS_PER_STREAM, MAX_FRAME_ITEMS};

/// What a request costs in a frame beside its payload: ids, lengths, tags, the service's name.
const REQUEST_OVERHEAD_BYTES: usize = 64;

/// With fewer calls under way it is the calls themselves that take long, not those before them.
const CROWD: usize = 512;
/// How many times longer than what is left of its time a call may have waited here.
const WAIT_PART: u32 = 3;
/// While a node refuses reads as busy, a frame of few waits so long for more of them: each frame costs the
/// node something, and its answers take many times as long.
const GATHER: Duration = Duration::from_millis(16);
/// So many calls are not few.
const GATHERED: usize = 64;
/// A call with less time than this many times [`GATHER`] waits for no others.
const GATHER_PART: u32 = 8;
/// Why a call is refused that has waited, or would wait, for most of its time.
const CROWDED: &str = "other calls to the node fill the stream for most of the time this one has; send \
                       fewer at once";

/// A call that is not on the wire yet.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) call: Incoming,
    /// The moment at which it was handed in.
    pub(super) since: Instant,
}

/// One stream, seen from both of its directions.
pub(super) struct Line {
    inner: Mutex<Inner>,
    /// Learns from the answers which reads the node would refuse.
    throttle: Arc<Throttle>,
}

struct Inner {
    phase: Phase,
    /// Calls that no frame has room for yet.
    waiting: VecDeque<Waiting>,
    /// Bytes of the waiting calls, those in the queue included.
    waiting_bytes: Arc<AtomicUsize>,
    /// `None` once closed.
    queue: Option<mpsc::Receiver<Waiting>>,
    scratch: Vec<Waiting>,
    flights: Flights,
    /// When calls began to flow.
    opened: Option<Instant>,
    /// How long the quickest of the calls that were answered last took, refusals included.
    round_trip: Duration,
    writer: Option<Waker>,
    /// When those that wait for more of them have waited long enough.
    gathered: Option<Pin<Box<Sleep>>>,
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
        queue: mpsc::Receiver<Waiting>,
        waiting_bytes: Arc<AtomicUsize>,
        cluster_id: Option<u128>,
        throttle: Arc<Throttle>,
    ) -> Arc<Self> {
        let inner = Inner {
            phase: Phase::Greeting(cluster_id),
            waiting: VecDeque::new(),
            waiting_bytes,
            queue: Some(queue),
            scratch: Vec::new(),
            flights: Flights::default(),
            opened: None,
            round_trip: Duration::ZERO,
            writer: None,
            gathered: None,
        };
        Arc::new(Line {
            inner: Mutex::new(inner),
            throttle,
        })
    }

    /// Lets calls flow.
    pub(super) fn open(&self) {
        let mut inner = self.lock();
        inner.phase = Phase::Open;
        inner.opened = Some(Instant::now());
        wake(inner);
    }

    /// Hands answers to their callers, but for those that a test wants to be lost.
    pub(super) fn land(&self, answers: Vec<CallAnswer>, is_lost: impl Fn() -> bool) {
        let now = Instant::now();
        let mut inner = self.lock();
        let was_full = inner.flights.len() >= MAX_CALLS_PER_STREAM;
        let (mut last_sent, mut ended) = (None, Ended::default());
        let landed: Vec<_> = answers
            .into_iter()
            .filter_map(|answer| {
                let (id, reply) = answer_from(answer);
                let flight = inner.flights.remove(id)?;
                last_sent = last_sent.max(Some(flight.sent));
                if let Some(reads) = flight.reads {
                    let refused = reply.result.as_ref().err();
                    let is_busy = refused.is_some_and(|refusal| refusal.kind == ErrorKind::Busy);
                    let had = flight.deadline.saturating_duration_since(flight.sent);
                    ended.add(reads, is_busy, had);
                }
                Some((flight.reply, reply))
            })
            .collect();
        if let Some(sent) = last_sent {
            inner.round_trip = now.saturating_duration_since(sent);
        }
        if was_full {
            wake(inner);
        } else {
            drop(inner);
        }
        self.throttle.note(&ended, now);
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
        let mut unsent: Vec<Waiting> = inner.waiting.drain(..).collect();
        if let Some(mut queue) = inner.queue.take() {
            queue.close();
            while let Ok(call) = queue.try_recv() {
                unsent.push(call);
            }
        }
        let flown = inner.flights.take_all();
        wake(inner);
        for Waiting { call, .. } in unsent {
            call.reply.refuse(Refusal::not_here(reason, None));
        }
        for caller in flown {
            caller.refuse(Refusal::lost(reason));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that can panic runs between two changes that belong together.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
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
        let is_busy = self.0.throttle.is_busy(now);
        let frame = inner.poll_frame(context, now, is_busy, &mut refused);
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
        is_busy: bool,
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
            let until = is_busy.then(|| self.gathers_until(now)).flatten();
            if until.is_none() {
                self.gathered = None;
                let requests = self.fill(now, refused);
                if !requests.is_empty() {
                    return Poll::Ready(Some(CallFrame {
                        cluster_id: Default::default(),
                        requests,
                    }));
                }
            }
            let room = self.room(now, refused).min(MAX_FRAME_ITEMS);
            let Some(queue) = &mut self.queue else {
                return Poll::Ready(None);
            };
            if room == 0 {
                return Poll::Pending;
            }
            match queue.poll_recv_many(context, &mut self.scratch, room) {
                Poll::Ready(1..) => self.waiting.extend(self.scratch.drain(..)),
                // They are sent when it is time, also if nobody adds to them any more.
                none => match until {
                    Some(until) => return self.poll_gathered(context, until),
                    None => return none.map(|_| None),
                },
            }
        }
    }

    /// Until when the waiting calls wait for more of them; `None` if they are sent now: there are enough,
    /// one of them is no read or has little time, or there is none.
    fn gathers_until(&self, now: Instant) -> Option<Instant> {
        if self.waiting.len() >= GATHERED {
            return None;
        }
        let until = self.waiting.front()?.since + GATHER;
        let has_time = |call: &Incoming| call.deadline > now + GATHER_PART * GATHER;
        let mut all = self.waiting.iter().map(|waiting| &waiting.call);
        let are_to_wait = all.all(|call| Reads::of(call.action).is_some() && has_time(call));
        (are_to_wait && until > now).then_some(until)
    }

    /// Has the writer polled again when the waiting calls have waited long enough.
    fn poll_gathered(
        &mut self,
        context: &mut Context<'_>,
        until: Instant,
    ) -> Poll<Option<CallFrame>> {
        let gathered = self
            .gathered
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        if gathered.as_mut().poll(context).is_ready() {
            // The clock says so by now; what is sent was looked at a moment before.
            self.gathered = None;
            context.waker().wake_by_ref();
        }
        Poll::Pending
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

    /// A frame's worth of the waiting calls. Those whose time is up are refused unsent, and so are those
    /// that have waited here for most of it, or would wait so on their way, where no node sees how long
    /// they do: they would be answered too late, and be in the way of those that have time.
    fn fill(&mut self, now: Instant, refused: &mut Refused) -> Vec<CallRequest> {
        let mut requests = Vec::new();
        let mut bytes = 0;
        while bytes < FRAME_TARGET_BYTES
            && let Some(Waiting { call, since }) = self.waiting.pop_front()
        {
            let waited = call.payload.len();
            self.waiting_bytes.fetch_sub(waited, Ordering::Relaxed);
            let remaining = call.deadline.saturating_duration_since(now);
            if remaining.is_zero() {
                let message = "the deadline passed before the call was sent";
                refused.push((call.reply, Refusal::not_here(message, None)));
                continue;
            }
            // The time in which there was no stream is no sign of too many calls.
            let since = self.opened.map_or(since, |opened| opened.max(since));
            let is_crowded = self.flights.len() >= CROWD && self.round_trip > remaining * 3 / 4;
            if is_crowded || now - since > WAIT_PART * remaining {
                refused.push((call.reply, Refusal::busy(CROWDED)));
                continue;
            }
            bytes += call.payload.len() + REQUEST_OVERHEAD_BYTES;
            requests.push(CallRequest {
                id: self.flights.insert(Flight {
                    reply: call.reply,
                    reads: Reads::of(call.action),
                    sent: now,
                    deadline: call.deadline,
                }),
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

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};
    use tokio::sync::oneshot;
    use tokio::time::advance;

    use super::*;
    use crate::call::ReadLevel;
    use crate::request::{Action, Reply};

    const SECOND: Duration = Duration::from_secs(1);

    struct Client {
        queue: mpsc::Sender<Waiting>,
        line: Arc<Line>,
        throttle: Arc<Throttle>,
        frames: Frames,
    }

    impl Client {
        fn new() -> Self {
            let (queue, waiting) = mpsc::channel(2 * MAX_CALLS_PER_STREAM);
            let throttle = Arc::<Throttle>::default();
            let line = Line::new(waiting, Arc::default(), None, throttle.clone());
            let frames = Frames(line.clone());
            Client {
                queue,
                line,
                throttle,
                frames,
            }
        }

        fn submit(&self) -> oneshot::Receiver<Reply> {
            self.submit_one(Action::Query {
                level: ReadLevel::Linearizable,
                min_index: 0,
            })
        }

        fn submit_one(&self, action: Action) -> oneshot::Receiver<Reply> {
            let (reply, answer) = oneshot::channel();
            let since = Instant::now();
            let call = Incoming {
                service: "".into(),
                action,
                payload: Default::default(),
                key: None,
                deadline: since + SECOND,
                forwarded: false,
                trace: None,
                reply: ReplyTo::Task(reply),
            };
            assert!(self.queue.try_send(Waiting { call, since }).is_ok());
            answer
        }

        /// The ids of the calls that are put on the wire now.
        fn sent(&mut self) -> Vec<u64> {
            let mut ids = Vec::new();
            while let Some(Some(frame)) = self.frames.next().now_or_never() {
                ids.extend(frame.requests.iter().map(|request| request.id));
            }
            ids
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_has_waited_for_most_of_its_time_gives_way_to_those_with_more() {
        let mut client = Client::new();
        assert!(client.sent().is_empty());
        client.line.open();
        let under_way: Vec<_> = (0..MAX_CALLS_PER_STREAM).map(|_| client.submit()).collect();
        let mut first = client.submit();
        let sent = client.sent();
        assert_eq!(sent.len(), under_way.len());
        advance(SECOND * 7 / 8).await;
        let mut second = client.submit();
        let answers = sent.into_iter().map(|id| CallAnswer {
            id,
            ..CallAnswer::default()
        });
        client.line.land(answers.collect(), || false);
        assert_eq!(client.sent().len(), 1);
        let refused = first.try_recv().unwrap().result.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Busy);
        assert!(second.try_recv().is_err(), "it is under way");
    }

    #[tokio::test(start_paused = true)]
    async fn no_call_joins_a_crowd_that_takes_most_of_its_time_until_fewer_are_under_way() {
        let mut client = Client::new();
        assert!(client.sent().is_empty());
        client.line.open();
        let _under_way: Vec<_> = (0..2 * CROWD).map(|_| client.submit()).collect();
        let mut sent = client.sent();
        // Whatever is answered tells how long the way is: even a refusal takes so long.
        advance(SECOND * 7 / 8).await;
        let answer = |id| CallAnswer {
            id,
            ..CallAnswer::default()
        };
        client.line.land(vec![answer(sent.remove(0))], || false);
        let mut refused = client.submit();
        assert!(client.sent().is_empty());
        let refusal = refused.try_recv().unwrap().result.unwrap_err();
        assert_eq!(refusal.kind, ErrorKind::Busy);
        let answers = sent.split_off(CROWD - 1).into_iter().map(answer);
        client.line.land(answers.collect(), || false);
        let mut next = client.submit();
        assert_eq!(client.sent().len(), 1);
        assert!(next.try_recv().is_err(), "it is under way");
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_node_is_busy_few_reads_wait_a_moment_for_more() {
        let mut client = Client::new();
        assert!(client.sent().is_empty());
        client.line.open();
        let _at_once = client.submit();
        assert_eq!(client.sent().len(), 1, "the node is not busy yet");
        let mut refused = Ended::default();
        refused.add(Reads::OfLeader, true, SECOND);
        client.throttle.note(&refused, Instant::now());

        let (_one, began) = (client.submit(), Instant::now());
        assert!(client.sent().is_empty());
        let _another = client.submit();
        let frame = client.frames.next().await.expect("the stream goes on");
        assert_eq!(frame.requests.len(), 2);
        assert!(began.elapsed() <= GATHER + Duration::from_millis(1));

        let _many: Vec<_> = (0..GATHERED).map(|_| client.submit()).collect();
        assert_eq!(client.sent().len(), GATHERED);
        // The node has long said nothing of the kind, to whichever reads.
        advance(SECOND).await;
        let _later = client.submit();
        assert_eq!(client.sent().len(), 1);
        client.throttle.note(&refused, Instant::now());
        let _read = client.submit();
        let _command = client.submit_one(Action::OpenSession);
        assert_eq!(client.sent().len(), 2, "a command takes them along");
    }

    #[tokio::test(start_paused = true)]
    async fn reads_that_wait_for_more_are_sent_though_nobody_has_more() {
        let mut client = Client::new();
        assert!(client.sent().is_empty());
        client.line.open();
        let mut refused = Ended::default();
        refused.add(Reads::OfLeader, true, SECOND);
        client.throttle.note(&refused, Instant::now());
        let _read = client.submit();
        drop(client.queue);
        let frame = client.frames.next().await.expect("a frame before the end");
        assert_eq!(frame.requests.len(), 1);
        assert!(client.frames.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_until_the_stream_stands_is_not_held_against_a_call() {
        let mut client = Client::new();
        assert!(client.sent().is_empty());
        let _answer = client.submit();
        advance(SECOND * 7 / 8).await;
        client.line.open();
        assert_eq!(client.sent().len(), 1);
    }
}
