//! Follows the events of a service from node to node.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::{sleep, timeout};
use tonic::Streaming;

use super::hop::Hop;
use super::link::{self, ClusterPin};
use crate::backoff::Backoff;
use crate::error::{Error, ErrorKind};
use crate::event::{EventBatch, EventSource, Since, refused};
use crate::net::Dialer;
use crate::request::Refusal;
use crate::subscription::Batches;
use crate::wire::MAX_FRAME_BYTES;
use crate::wire::convert::{cluster_id_from, cluster_id_to};
use crate::wire::events::{frame_from, since_to};
use crate::wire::v1::calls_client::CallsClient;
use crate::wire::v1::{EventsFrame, EventsRequest};

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// What may be on its way to a subscriber that does not read.
const WINDOW_BYTES: u32 = 1 << 20;
/// Until a node has shown its cluster id, connecting included.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);

/// Batches from one node after the other; the last item is an error that no other node can mend.
pub(super) fn follow(hop: Arc<dyn Hop>, service: &'static str, since: Since) -> Batches {
    let follower = Follower {
        hop,
        service,
        since,
        source: None,
        attempt: 0,
        stopped: 0,
        backoff: fresh_backoff(),
    };
    let batches = stream::unfold(Some(follower), |follower| async move {
        let mut follower = follower?;
        match follower.next().await {
            Ok(batch) => Some((Ok(batch), Some(follower))),
            Err(error) => Some((Err(error), None)),
        }
    });
    batches.boxed()
}

fn fresh_backoff() -> Backoff {
    Backoff::new(FIRST_PAUSE, LONGEST_PAUSE)
}

struct Follower {
    hop: Arc<dyn Hop>,
    service: &'static str,
    since: Since,
    source: Option<EventSource>,
    attempt: usize,
    /// Nodes in a row that gave an answer another attempt does not change.
    stopped: usize,
    backoff: Backoff,
}

impl Follower {
    async fn next(&mut self) -> Result<EventBatch, Error> {
        loop {
            let source = self
                .source
                .get_or_insert_with(|| self.hop.events(self.attempt, self.service, self.since));
            match source.next().await {
                Some(Ok(batch)) => {
                    // Until there was an event, another node may begin with a later one.
                    if self.since != Since::Oldest || !batch.events.is_empty() {
                        self.since = Since::After(batch.seen);
                    }
                    self.stopped = 0;
                    self.backoff = fresh_backoff();
                    return Ok(batch);
                }
                Some(Err(refusal)) => self.judge(refusal)?,
                None => {}
            }
            self.source = None;
            self.attempt += 1;
            sleep(self.backoff.pause()).await;
        }
    }

    /// Whether it is worth trying elsewhere.
    fn judge(&mut self, refusal: Refusal) -> Result<(), Error> {
        match refusal.kind {
            ErrorKind::Compacted => return Err(refusal.into()),
            // Perhaps of this node alone: an older one, or one that has stopped.
            ErrorKind::Rejected | ErrorKind::Fatal => {
                self.stopped += 1;
                if self.stopped >= self.hop.nodes() {
                    return Err(refusal.into());
                }
            }
            _ => self.stopped = 0,
        }
        tracing::debug!(
            service = self.service,
            why = refusal.message,
            "events from elsewhere"
        );
        Ok(())
    }
}

/// The events that one node far away gives.
pub(super) fn of_node(
    address: Arc<str>,
    pin: ClusterPin,
    dialer: Dialer,
    service: &'static str,
    since: Since,
) -> EventSource {
    let opening = async move {
        match timeout(OPEN_TIMEOUT, open(&address, &pin, &dialer, service, since)).await {
            Ok(Ok(frames)) => frames,
            Ok(Err(reason)) => refused(Refusal::not_here(reason, None)),
            Err(_) => {
                let text = format!("{address} did not answer within {OPEN_TIMEOUT:?}");
                refused(Refusal::not_here(text, None))
            }
        }
    };
    stream::once(opening).flatten().boxed()
}

async fn open(
    address: &str,
    pin: &ClusterPin,
    dialer: &Dialer,
    service: &str,
    since: Since,
) -> Result<EventSource, String> {
    let channel = link::dial(address, dialer, WINDOW_BYTES).await?;
    let request = dialer.request(EventsRequest {
        cluster_id: pin.known_id().map(cluster_id_to).unwrap_or_default(),
        service: service.to_owned(),
        since: Some(since_to(since)),
    })?;
    let mut frames = CallsClient::new(channel)
        .max_decoding_message_size(MAX_FRAME_BYTES)
        .events(request)
        .await
        .map_err(|status| link::refused(address, &status))?
        .into_inner();
    let first = frames
        .message()
        .await
        .map_err(|status| link::refused(address, &status))?
        .ok_or_else(|| format!("{address} closed the stream at once"))?;
    let met = cluster_id_from(&first.cluster_id).map_err(|error| format!("{address}: {error}"))?;
    pin.check(address, met)?;
    Ok(read(address.to_owned(), first, frames))
}

/// What the frames of a stream hold.
fn read(address: String, first: EventsFrame, frames: Streaming<EventsFrame>) -> EventSource {
    let frames =
        frames.map_err(move |status| Refusal::not_here(link::refused(&address, &status), None));
    let frames = stream::once(async { Ok(first) }).chain(frames);
    frames
        .and_then(|frame| std::future::ready(frame_from(frame)))
        .boxed()
}
