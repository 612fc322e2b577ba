//! One multiplexed stream of calls to one node.

use std::error::Error as _;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use super::line::{Frames, Line, Waiting};
use super::rumour::Rumour;
use super::throttle::{Reads, THROTTLED, Throttle};
use crate::net::Dialer;
use crate::request::{Incoming, Refusal};
use crate::wire::MAX_FRAME_BYTES;
use crate::wire::convert::cluster_id_from;
use crate::wire::v1::calls_client::CallsClient;
use crate::wire::v1::{AnswerFrame, LeaderNews};
use crate::world;

/// Until TCP stands. A node that is down refuses at once; this is for hosts that are gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Until the node has shown its cluster id, connecting included.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// A paused or cut-off node is noticed after the interval and the timeout; its calls go elsewhere.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Several full frames, so that a frame never waits for the window of the last one.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Calls that wait for room on the stream; above it a call is refused as busy.
const QUEUE_CALLS: usize = 8192;
/// Bytes of calls that wait for room on the stream; above it a call is refused as busy.
const QUEUE_BYTES: usize = 64 << 20;

/// The cluster that a caller belongs to, learned at the first contact and kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterPin(Arc<OnceLock<u128>>);

impl ClusterPin {
    /// A pin for a member, which knows its cluster.
    pub(crate) fn known(cluster_id: u128) -> Self {
        ClusterPin(Arc::new(OnceLock::from(cluster_id)))
    }

    /// The cluster, once it is known.
    pub(super) fn known_id(&self) -> Option<u128> {
        self.0.get().copied()
    }

    /// Compares with the cluster of a node; the first one met is pinned.
    pub(super) fn check(&self, address: &str, met: u128) -> Result<(), String> {
        let pinned = *self.0.get_or_init(|| met);
        if pinned == met {
            return Ok(());
        }
        Err(format!(
            "{address} belongs to cluster {met:032x}, this client to {pinned:032x}; \
             take the address out, or connect anew"
        ))
    }
}

/// How far a link has come.
#[derive(Clone, Debug)]
pub(crate) enum LinkState {
    Opening,
    Open,
    /// For good; whoever needs the node opens another link.
    Closed {
        was_open: bool,
        /// The node does not let this client in, for what it shows: it will not the next time either.
        is_denied: bool,
        reason: Arc<str>,
    },
}

/// A stream to one node, on which many calls are under way at once.
///
/// It ends when the stream breaks or when it is dropped and its calls are answered. Every call gets
/// an answer: [`Refusal::not_here`] only if it was never put on the wire, else [`Refusal::lost`].
pub(crate) struct Link {
    address: Arc<str>,
    queue: mpsc::Sender<Waiting>,
    /// Of the calls that are not on the wire yet.
    waiting_bytes: Arc<AtomicUsize>,
    throttle: Arc<Throttle>,
    state: watch::Receiver<LinkState>,
}

impl Link {
    /// Starts to connect; calls may be submitted at once and wait for the stream.
    pub(super) fn open(
        address: Arc<str>,
        pin: ClusterPin,
        dialer: Dialer,
        rumour: Arc<Rumour>,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_CALLS);
        let (state, watched) = watch::channel(LinkState::Opening);
        let waiting_bytes: Arc<AtomicUsize> = Arc::default();
        let throttle: Arc<Throttle> = Arc::default();
        let line = Line::new(
            waiting,
            waiting_bytes.clone(),
            pin.known_id(),
            throttle.clone(),
        );
        let ear = Ear {
            address: Arc::clone(&address),
            rumour,
        };
        world::spawn(run(ear, pin, dialer, line, state));
        Link {
            address,
            queue,
            waiting_bytes,
            throttle,
            state: watched,
        }
    }

    pub(crate) fn state(&self) -> LinkState {
        self.state.borrow().clone()
    }

    /// Whether the node does not let this client in, for what it shows.
    pub(super) fn is_denied(&self) -> bool {
        let state = self.state.borrow();
        matches!(&*state, LinkState::Closed { is_denied, .. } if *is_denied)
    }

    /// Waits until the stream stands, or gives the reason why not.
    pub(crate) async fn opened(&self) -> Result<(), Arc<str>> {
        let mut state = self.state.clone();
        let settled = state
            .wait_for(|state| !matches!(state, LinkState::Opening))
            .await;
        match settled.as_deref() {
            Ok(LinkState::Closed { reason, .. }) => Err(Arc::clone(reason)),
            Ok(_) => Ok(()),
            Err(_) => Err("the runtime shut down".into()),
        }
    }

    /// Waits until the stream has ended.
    #[cfg(test)]
    pub(crate) async fn closed(&self) {
        let mut state = self.state.clone();
        // An error says that the task is gone, and the stream with it.
        let _ = state
            .wait_for(|state| matches!(state, LinkState::Closed { .. }))
            .await;
    }

    /// Sends one call.
    pub(crate) fn submit(&self, call: Incoming) {
        let since = Instant::now();
        if let Some(reads) = Reads::of(call.action) {
            let left = call.deadline.saturating_duration_since(since);
            if !self.throttle.admits(reads, left, since) {
                return call.reply.refuse(Refusal::busy(THROTTLED));
            }
        }
        let bytes = call.payload.len();
        let waiting = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if waiting > QUEUE_BYTES {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return call.reply.refuse(Refusal::busy(format!(
                "calls of {} MiB wait for the stream to {}; send less at once",
                QUEUE_BYTES >> 20,
                self.address
            )));
        }
        let Err(error) = self.queue.try_send(Waiting { call, since }) else {
            return;
        };
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        match error {
            mpsc::error::TrySendError::Full(Waiting { call, .. }) => {
                call.reply.refuse(Refusal::busy(format!(
                    "{QUEUE_CALLS} calls wait for the stream to {}; send fewer at once",
                    self.address
                )));
            }
            mpsc::error::TrySendError::Closed(Waiting { call, .. }) => {
                let message = match self.state() {
                    LinkState::Closed { reason, .. } => reason.to_string(),
                    _ => format!("the stream to {} is closed", self.address),
                };
                call.reply.refuse(Refusal::not_here(message, None));
            }
        }
    }

    /// Sends calls that came together. A node passes calls on with `forwarded` set and the reply of
    /// their caller, which the answer then reaches without passing through the node's own queues.
    pub(crate) fn forward(&self, calls: Vec<Incoming>) {
        for call in calls {
            self.submit(call);
        }
    }
}

/// What one node says of who leads.
struct Ear {
    address: Arc<str>,
    rumour: Arc<Rumour>,
}

impl Ear {
    fn hear(&self, news: Option<LeaderNews>) {
        let Some(LeaderNews { term, address }) = news else {
            return;
        };
        match &*address {
            "" => self.rumour.hear_itself(term, &self.address),
            elsewhere => self.rumour.hear(term, elsewhere),
        }
    }
}

async fn run(
    ear: Ear,
    pin: ClusterPin,
    dialer: Dialer,
    line: Arc<Line>,
    state: watch::Sender<LinkState>,
) {
    let address = &ear.address;
    let opening = timeout(OPEN_TIMEOUT, open(&ear, &pin, &dialer, &line)).await;
    let mut is_denied = false;
    let (was_open, reason) = match opening {
        Ok(Ok(answers)) => {
            line.open();
            state.send_replace(LinkState::Open);
            (true, converse(&ear, &dialer, &line, answers).await)
        }
        Ok(Err(failure)) => {
            is_denied = failure.is_denied;
            (false, failure.reason)
        }
        Err(_) => (
            false,
            format!("{address} did not answer within {OPEN_TIMEOUT:?}"),
        ),
    };
    // First the state: whoever is refused by the line finds the link closed and opens another.
    state.send_replace(LinkState::Closed {
        was_open,
        is_denied,
        reason: reason.as_str().into(),
    });
    line.close(&reason);
}

/// Connects to a node.
pub(super) async fn dial(
    address: &str,
    dialer: &Dialer,
    stream_window: u32,
) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| format!("{address} is no address: {error}"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(stream_window)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    let connecting = dialer.connect(&endpoint);
    connecting
        .await
        .map_err(|error| format!("cannot connect to {address}: {}", innermost(&error)))
}

/// Why no stream was opened.
struct Failure {
    reason: String,
    is_denied: bool,
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Failure {
            reason,
            is_denied: false,
        }
    }
}

async fn open(
    ear: &Ear,
    pin: &ClusterPin,
    dialer: &Dialer,
    line: &Arc<Line>,
) -> Result<Streaming<AnswerFrame>, Failure> {
    let address = &*ear.address;
    let channel = dial(address, dialer, STREAM_WINDOW_BYTES).await?;
    let frames = dialer.request(Frames(Arc::clone(line)))?;
    let mut answers = CallsClient::new(channel)
        .max_decoding_message_size(MAX_FRAME_BYTES)
        .max_encoding_message_size(MAX_FRAME_BYTES)
        .call(frames)
        .await
        .map_err(|status| Failure {
            reason: refused(address, &status),
            is_denied: matches!(
                status.code(),
                Code::Unauthenticated | Code::PermissionDenied
            ),
        })?
        .into_inner();
    let first = answers
        .message()
        .await
        .map_err(|status| refused(address, &status))?
        .ok_or_else(|| format!("{address} closed the stream at once"))?;
    let met = cluster_id_from(&first.cluster_id).map_err(|error| format!("{address}: {error}"))?;
    pin.check(address, met)?;
    ear.hear(first.leader);
    Ok(answers)
}

/// Takes answers in until the stream ends, and says why it did.
async fn converse(
    ear: &Ear,
    dialer: &Dialer,
    line: &Line,
    mut answers: Streaming<AnswerFrame>,
) -> String {
    let address = &*ear.address;
    loop {
        match answers.message().await {
            Ok(Some(frame)) => {
                ear.hear(frame.leader);
                line.land(frame.answers, || dialer.loses_answer());
            }
            Ok(None) => return format!("{address} closed the stream"),
            Err(status) => return refused(address, &status),
        }
    }
}

pub(super) fn refused(address: &str, status: &Status) -> String {
    let mut text = format!("{address}: {}", status.message());
    if let Some(source) = status.source() {
        // Writing to a string does not fail.
        let _ = write!(text, ": {}", innermost(source));
    }
    text
}

/// The cause at the bottom: tonic's own texts say little more than "transport error".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
