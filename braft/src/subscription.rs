//! What `client.events()` returns.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use crate::call::Channel;
use crate::codec;
use crate::error::Error;
use crate::event::{Event, EventBatch, EventPosition, Since};

/// How long [`Events::latest`] waits for a node.
const LATEST_WITHIN: Duration = Duration::from_secs(5);

/// Batches of events from whichever node can give them.
pub(crate) type Batches = BoxStream<'static, Result<EventBatch, Error>>;

/// The events of a service: a stream of each event with its [`EventPosition`], in the order of the
/// log, each once and none left out.
///
/// Unless told otherwise it begins with the oldest event that is kept. The position of an event is
/// the same for ever and on all nodes: keep that of the last event you have dealt with, and go on
/// [`after`](Self::after) it later, from another process or on another node.
///
/// Nodes that fail are replaced by others without a word, for as long as it takes; a client made by
/// [`Node::client`](crate::Node::client) has its own node only, and its stream ends with the node.
/// Nothing is asked for before the stream is polled, and a subscriber that is slow is waited for: it
/// holds up nobody, and may find that what it has not seen is gone.
///
/// # Errors
/// An error is the last item. Of kind [`Compacted`](crate::ErrorKind::Compacted), if events that come
/// next are no longer kept: read the state anew and go on from there. *Rejected*, if the service is
/// unknown or an event is not of this type. *Fatal*, if the client's own node has stopped.
#[must_use = "a stream does nothing until it is polled"]
pub struct Events<E> {
    channel: Channel,
    service: &'static str,
    since: Since,
    batches: Option<Batches>,
    /// Came with the last batch.
    ready: VecDeque<(EventPosition, Bytes)>,
    ended: bool,
    events: PhantomData<fn() -> E>,
}

impl<E: Event> Events<E> {
    pub(crate) fn new(channel: Channel, service: &'static str) -> Self {
        Events {
            channel,
            service,
            since: Since::Oldest,
            batches: None,
            ready: VecDeque::new(),
            ended: false,
            events: PhantomData,
        }
    }

    /// Begins with the first event after this one.
    pub fn after(self, position: EventPosition) -> Self {
        let mut events = Self::new(self.channel, self.service);
        events.since = Since::After(position);
        events
    }

    /// Begins with what is emitted from now on: with every event of a command that is called after
    /// this has returned, and perhaps with some from shortly before.
    ///
    /// # Errors
    /// *Unavailable*, if no node answers within five seconds; else as of the stream.
    pub async fn latest(self) -> Result<Self, Error> {
        let mut batches = self.channel.events(self.service, Since::Latest);
        let first = tokio::time::timeout(LATEST_WITHIN, batches.next()).await;
        match first {
            Ok(Some(Ok(batch))) => Ok(Events {
                since: Since::After(batch.seen),
                batches: Some(batches),
                ready: batch.events.into(),
                ..Self::new(self.channel, self.service)
            }),
            Ok(Some(Err(error))) => Err(error),
            Ok(None) | Err(_) => Err(Error::unavailable(format!(
                "no node has answered within {LATEST_WITHIN:?}"
            ))),
        }
    }

    /// The next event; `None` after an error.
    ///
    /// Nothing is lost if the future is dropped before it is ready.
    ///
    /// # Errors
    /// See [`Events`].
    pub async fn next(&mut self) -> Option<Result<(EventPosition, E), Error>> {
        StreamExt::next(self).await
    }

    fn poll_batch(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<(), Error>>> {
        let (channel, service, since) = (&self.channel, self.service, self.since);
        let batches = self
            .batches
            .get_or_insert_with(|| channel.events(service, since));
        Poll::Ready(match ready!(batches.poll_next_unpin(context)) {
            Some(Ok(batch)) => {
                self.ready.extend(batch.events);
                Some(Ok(()))
            }
            Some(Err(error)) => Some(Err(error)),
            None => None,
        })
    }

    fn end(&mut self) {
        self.ended = true;
        self.batches = None;
    }
}

impl<E: Event> Stream for Events<E> {
    type Item = Result<(EventPosition, E), Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        while !this.ended {
            if let Some((position, bytes)) = this.ready.pop_front() {
                let event = codec::decode(&bytes).map_err(|error| {
                    this.end();
                    Error::rejected(format!(
                        "event {position} of service {} is not of the type this client expects: \
                         {error}; use a client of the same version as the service",
                        this.service
                    ))
                });
                return Poll::Ready(Some(event.map(|event| (position, event))));
            }
            match ready!(this.poll_batch(context)) {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    this.end();
                    return Poll::Ready(Some(Err(error)));
                }
                None => this.end(),
            }
        }
        Poll::Ready(None)
    }
}

impl<E> fmt::Debug for Events<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}
