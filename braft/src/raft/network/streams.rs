//! Streams of entries to peers, which can be ended from here.
//!
//! Raft purges no entry that is on its way to a follower. Once a stream has ended, what the follower lacks
//! can be purged, and raft gives it a snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use futures_util::{FutureExt, Stream, StreamExt};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The latest stream to each peer.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    latest: Mutex<BTreeMap<u64, Latest>>,
    numbers: AtomicU64,
}

#[derive(Debug)]
struct Latest {
    number: u64,
    began: Instant,
    tell: oneshot::Sender<()>,
}

/// Told when a stream is to be ended.
#[derive(Debug)]
pub(super) struct End(Option<oneshot::Receiver<()>>);

/// Requests on their way to a peer, which go when their [`Hold`] does.
pub(super) struct Requests<S>(Arc<Shared<S>>);

/// Keeps the requests of a stream. The connection may keep its end of them for as long as the peer reads
/// nothing, and raft's next stream is made of the same source.
pub(super) struct Hold<S>(Arc<Shared<S>>);

struct Shared<S> {
    requests: Mutex<Option<S>>,
    /// Whoever waits for the next one: what would wake it goes with the requests.
    waiting: AtomicWaker,
}

impl Streams {
    /// A number for a stream that may begin: of two, the one with the later number is the later one.
    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Begins a stream, in the place of an earlier one to that peer.
    pub(super) fn begin(&self, peer: u64, number: u64) -> End {
        let (tell, told) = oneshot::channel();
        let mut latest = lock(&self.latest);
        latest.retain(|_, last| !last.tell.is_closed());
        if latest.get(&peer).is_none_or(|last| last.number < number) {
            let began = Instant::now();
            let this = Latest {
                number,
                began,
                tell,
            };
            latest.insert(peer, this);
        }
        End(Some(told))
    }

    /// Ends the stream to a peer, if there is one.
    pub(crate) fn end(&self, peer: u64) {
        if let Some(latest) = lock(&self.latest).remove(&peer) {
            // It may have ended by itself.
            latest.tell.send(()).ok();
        }
    }

    /// The peers to which the stream has gone on for so long.
    pub(crate) fn older_than(&self, age: Duration) -> BTreeSet<u64> {
        let latest = lock(&self.latest);
        let old = |latest: &Latest| !latest.tell.is_closed() && latest.began.elapsed() >= age;
        latest
            .iter()
            .filter(|(_, latest)| old(latest))
            .map(|(peer, _)| *peer)
            .collect()
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
    let shared = Arc::new(Shared {
        requests: Mutex::new(Some(requests)),
        waiting: AtomicWaker::new(),
    });
    (Requests(Arc::clone(&shared)), Hold(shared))
}

impl<S: Stream + Unpin> Stream for Requests<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.0.waiting.register(context.waker());
        match &mut *lock(&self.0.requests) {
            Some(requests) => requests.poll_next_unpin(context),
            None => Poll::Ready(None),
        }
    }
}

impl<S> Drop for Hold<S> {
    fn drop(&mut self) {
        let requests = lock(&self.0.requests).take();
        // Not under the lock.
        drop(requests);
        self.0.waiting.wake();
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

    async fn is_told(end: &mut End) -> bool {
        poll!(poll_fn(|context| end.poll(context))).is_ready()
    }

    #[tokio::test]
    async fn the_latest_stream_is_ended_and_no_other() {
        let streams = Streams::default();
        let begin = |peer| streams.begin(peer, streams.number());
        let (mut earlier, mut other) = (begin(2), begin(3));
        // One that was given up before the latest, and is late to begin.
        let overtaken = streams.number();
        let mut latest = begin(2);
        let mut late = streams.begin(2, overtaken);
        streams.end(2);
        streams.end(2);
        assert!(is_told(&mut latest).await);
        for end in [&mut earlier, &mut other, &mut late, &mut latest] {
            assert!(!is_told(end).await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_as_old_as_it_has_gone_on() {
        const AGE: Duration = Duration::from_secs(5);
        let streams = Streams::default();
        let begin = |peer| streams.begin(peer, streams.number());
        let (_first, ended) = (begin(2), begin(3));
        tokio::time::sleep(AGE).await;
        let _young = begin(4);
        drop(ended);
        assert_eq!(streams.older_than(AGE), BTreeSet::from([2]));
        let _next = begin(2);
        assert_eq!(streams.older_than(AGE), BTreeSet::new());
    }

    #[tokio::test]
    async fn requests_go_at_once_even_if_the_connection_keeps_its_end() {
        let (send, source) = mpsc::unbounded_channel();
        let (mut requests, hold) = held(UnboundedReceiverStream::new(source));
        send.send(1).expect("somebody takes it");
        assert_eq!(requests.next().await, Some(1));
        let connection = tokio::spawn(async move { requests.next().await });
        tokio::task::yield_now().await;
        drop(hold);
        send.send(2).expect_err("nobody takes it any more");
        assert_eq!(connection.await.expect("it is woken"), None);
    }
}
