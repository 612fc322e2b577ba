//! Streams of entries to peers, which can be ended from here.
//!
//! Raft purges no entry that is on its way to a follower. One that takes them in too slowly, or not at
//! all, would have the log grow until the disk is full. Once its stream has ended, what it lacks can be
//! purged, and raft gives it a snapshot.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::{FutureExt, Stream, StreamExt};
use tokio::sync::oneshot;

/// The latest stream to each peer.
#[derive(Debug, Default)]
pub(crate) struct Streams(Mutex<BTreeMap<u64, oneshot::Sender<()>>>);

/// Told when a stream is to be ended.
#[derive(Debug)]
pub(super) struct End(Option<oneshot::Receiver<()>>);

/// Requests on their way to a peer, which go when their [`Hold`] does.
pub(super) struct Requests<S>(Arc<Mutex<Option<S>>>);

/// Keeps the requests of a stream. The connection may keep its end of them for as long as the peer reads
/// nothing, and raft's next stream is made of the same source.
pub(super) struct Hold<S>(Arc<Mutex<Option<S>>>);

impl Streams {
    /// Begins a stream, in the place of the last one to that peer.
    pub(super) fn begin(&self, peer: u64) -> End {
        let (tell, told) = oneshot::channel();
        lock(&self.0).insert(peer, tell);
        End(Some(told))
    }

    /// Ends the stream to a peer, if there is one.
    pub(crate) fn end(&self, peer: u64) {
        if let Some(tell) = lock(&self.0).remove(&peer) {
            // It may have ended by itself.
            tell.send(()).ok();
        }
    }
}

impl End {
    /// Ready once the stream is to be ended.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(told) = &mut self.0 else {
            return Poll::Pending;
        };
        match told.poll_unpin(context) {
            Poll::Ready(told) => {
                self.0 = None;
                // Another stream has taken the place of this one.
                told.map_or(Poll::Pending, Poll::Ready)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Requests, and what keeps them.
pub(super) fn held<S>(requests: S) -> (Requests<S>, Hold<S>) {
    let requests = Arc::new(Mutex::new(Some(requests)));
    (Requests(Arc::clone(&requests)), Hold(requests))
}

impl<S: Stream + Unpin> Stream for Requests<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        match &mut *lock(&self.0) {
            Some(requests) => requests.poll_next_unpin(context),
            None => Poll::Ready(None),
        }
    }
}

impl<S> Drop for Hold<S> {
    fn drop(&mut self) {
        let requests = lock(&self.0).take();
        // Not under the lock.
        drop(requests);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is a single one: a panic elsewhere leaves nothing half-done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::poll;
    use tokio::sync::mpsc;
    use tokio_stream::wrappers::UnboundedReceiverStream;

    use super::*;

    #[tokio::test]
    async fn the_latest_stream_is_ended_and_no_other() {
        let streams = Streams::default();
        let (mut earlier, mut other) = (streams.begin(2), streams.begin(3));
        let mut latest = streams.begin(2);
        streams.end(2);
        streams.end(2);
        poll_fn(|context| latest.poll(context)).await;
        for end in [&mut earlier, &mut other, &mut latest] {
            assert!(poll!(poll_fn(|context| end.poll(context))).is_pending());
        }
    }

    #[tokio::test]
    async fn requests_go_at_once_even_if_the_connection_keeps_its_end() {
        let (send, source) = mpsc::unbounded_channel();
        let (mut requests, hold) = held(UnboundedReceiverStream::new(source));
        send.send(1).expect("somebody takes it");
        assert_eq!(requests.next().await, Some(1));
        assert!(poll!(requests.next()).is_pending());
        drop(hold);
        send.send(2).expect_err("nobody takes it any more");
        assert_eq!(requests.next().await, None);
    }
}
