//! What says only how far the log is committed waits a moment for entries to go along with.
//!
//! When a write is committed, raft tells the followers at once: a message, an answer and two threads
//! woken for each of them, while the client's next write is about to come by, which says the same. So
//! such a message is held back for a moment; entries that come in the meantime take its place, and the
//! followers' answers to them hold for both, since raft takes answers by the log id that they bear.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::Fuse;
use futures_util::task::AtomicWaker;
use futures_util::{Stream, StreamExt as _};
use openraft::raft::AppendEntriesRequest;
use tokio::time::Instant;

use super::super::types::TypeConfig;
use crate::world;

/// The followers of an idle leader hear of a commit so much later, and up to three times that: the next
/// write of a client that waits for each of its answers comes sooner.
const HOLD: Duration = Duration::from_millis(1);
/// The clock goes on so long without anything to do, so that a client that pauses finds it running.
const IDLE_TICKS: u32 = 100;

/// The clock of all that is held on a node. To set a timer for each message would wake the thread that
/// waits for the network.
#[derive(Debug)]
pub(crate) struct Holds {
    began: Instant,
    runs: AtomicBool,
    slots: Mutex<Vec<Weak<Slot>>>,
}

/// Where one stream of requests is.
#[derive(Debug, Default)]
struct Slot {
    /// Since when it holds something, in microseconds since the clock was made, and one more; 0 if it
    /// holds nothing.
    since: AtomicU64,
    waker: AtomicWaker,
}

impl Default for Holds {
    fn default() -> Self {
        Holds {
            began: Instant::now(),
            runs: AtomicBool::new(false),
            slots: Mutex::default(),
        }
    }
}

impl Holds {
    fn micros(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn slot(&self) -> Arc<Slot> {
        let slot = Arc::<Slot>::default();
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|slot| slot.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        slot
    }

    /// Has the clock run.
    fn start(self: &Arc<Self>) {
        if !self.runs.swap(true, Ordering::SeqCst) {
            world::spawn(self.clone().run());
        }
    }

    async fn run(self: Arc<Self>) {
        let mut idle = 0;
        loop {
            tokio::time::sleep(HOLD).await;
            if self.tick() {
                idle = 0;
                continue;
            }
            idle += 1;
            if idle == IDLE_TICKS {
                self.runs.store(false, Ordering::SeqCst);
                // Whoever began to hold just before has seen it run.
                if !self.tick() || self.runs.swap(true, Ordering::SeqCst) {
                    return;
                }
                idle = 0;
            }
        }
    }

    /// Whether something has been held for long enough; `None` if nothing is.
    fn is_over(&self, slot: &Slot) -> Option<bool> {
        let since = slot.since.load(Ordering::SeqCst).checked_sub(1)?;
        let held = Duration::from_micros(self.micros().saturating_sub(since));
        Some(held >= HOLD)
    }

    /// Wakes those whose time is over; says whether anything is held.
    fn tick(&self) -> bool {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut any = false;
        for slot in slots.iter().filter_map(Weak::upgrade) {
            let is_over = self.is_over(&slot);
            any |= is_over.is_some();
            if is_over == Some(true) {
                slot.waker.wake();
            }
        }
        any
    }
}

/// Requests to one follower, in order.
pub(super) struct Held<S> {
    /// Fused: what is held at the end is handed out before the end is.
    requests: Fuse<S>,
    /// One without entries; what comes next says all that it says.
    held: Option<AppendEntriesRequest<TypeConfig>>,
    holds: Arc<Holds>,
    slot: Arc<Slot>,
}

impl<S: Stream> Held<S> {
    pub(super) fn new(requests: S, holds: Arc<Holds>) -> Self {
        Held {
            requests: requests.fuse(),
            held: None,
            slot: holds.slot(),
            holds,
        }
    }

    fn hold(&mut self, request: AppendEntriesRequest<TypeConfig>) {
        if self.held.replace(request).is_none() {
            let since = self.holds.micros().saturating_add(1);
            self.slot.since.store(since, Ordering::SeqCst);
            self.holds.start();
        }
    }

    fn let_go(&mut self) -> Option<AppendEntriesRequest<TypeConfig>> {
        let request = self.held.take()?;
        self.slot.since.store(0, Ordering::SeqCst);
        Some(request)
    }
}

impl<S> Stream for Held<S>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Unpin,
{
    type Item = AppendEntriesRequest<TypeConfig>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        while let Poll::Ready(next) = this.requests.poll_next_unpin(context) {
            match next {
                Some(request) if request.entries.is_empty() => this.hold(request),
                Some(request) => {
                    this.let_go();
                    return Poll::Ready(Some(request));
                }
                // No more comes: raft waits for the answers to what there was.
                None => return Poll::Ready(this.let_go()),
            }
        }
        if this.held.is_none() {
            return Poll::Pending;
        }
        this.slot.waker.register(context.waker());
        match this.holds.is_over(&this.slot) {
            Some(true) => Poll::Ready(this.let_go()),
            Some(false) | None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use openraft::vote::RaftVote;
    use tokio::sync::mpsc;
    use tokio_stream::wrappers::UnboundedReceiverStream;

    use super::super::super::types::{Entry, LeaderId, log_id};
    use super::*;

    fn request(commit: u64, entries: Vec<Entry>) -> AppendEntriesRequest<TypeConfig> {
        let leader = LeaderId {
            term: 1,
            voted_for: 1,
        };
        AppendEntriesRequest {
            vote: RaftVote::from_leader_id(leader, true),
            prev_log_id: Some(log_id(1, commit)),
            entries,
            leader_commit: Some(log_id(1, commit)),
        }
    }

    fn commit(commit: u64) -> AppendEntriesRequest<TypeConfig> {
        request(commit, Vec::new())
    }

    fn with_entry(commit: u64) -> AppendEntriesRequest<TypeConfig> {
        let entry = openraft::entry::RaftEntry::new_blank(log_id(1, commit + 1));
        request(commit, vec![entry])
    }

    /// The commit that each request bears, and whether it has entries.
    fn seen(request: Option<AppendEntriesRequest<TypeConfig>>) -> Option<(u64, bool)> {
        let request = request?;
        let commit = request.leader_commit?.index;
        Some((commit, !request.entries.is_empty()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_goes_along_with_the_entries_that_follow_it() {
        let (send, requests) = mpsc::unbounded_channel();
        let mut held = Held::new(UnboundedReceiverStream::new(requests), Arc::default());
        send.send(commit(1)).expect("it is received");
        assert!(futures_util::poll!(held.next()).is_pending());
        send.send(with_entry(1)).expect("it is received");
        assert_eq!(seen(held.next().await), Some((1, true)));
        // Nothing is left of the first.
        assert!(futures_util::poll!(held.next()).is_pending());
        tokio::time::advance(2 * HOLD).await;
        assert!(futures_util::poll!(held.next()).is_pending());
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_that_nothing_follows_goes_on_its_own_in_time() {
        let (send, requests) = mpsc::unbounded_channel();
        let mut held = Held::new(UnboundedReceiverStream::new(requests), Arc::default());
        let began = Instant::now();
        for number in 1..4 {
            send.send(commit(number)).expect("it is received");
            assert!(futures_util::poll!(held.next()).is_pending());
        }
        // The last says what the others said.
        assert_eq!(seen(held.next().await), Some((3, false)));
        assert!(began.elapsed() <= 3 * HOLD);
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_is_not_kept_for_good_by_others_that_follow_it() {
        let (send, requests) = mpsc::unbounded_channel();
        let mut held = Held::new(UnboundedReceiverStream::new(requests), Arc::default());
        let step = HOLD / 4;
        let mut passed = None;
        for number in 1..=12 {
            send.send(commit(number)).expect("it is received");
            if let Poll::Ready(request) = futures_util::poll!(held.next()) {
                passed = seen(request);
                break;
            }
            tokio::time::sleep(step).await;
        }
        assert!(passed.is_some_and(|(number, _)| number <= 10), "{passed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_request_of_all_is_not_held() {
        let requests = [with_entry(1), commit(2)].into_iter();
        // As raft's own, it must not be polled after its end.
        let requests = futures_util::stream::unfold(requests, |mut requests| async move {
            Some((requests.next()?, requests))
        });
        let mut held = Held::new(Box::pin(requests), Arc::default());
        let began = Instant::now();
        assert_eq!(seen(held.next().await), Some((1, true)));
        assert_eq!(seen(held.next().await), Some((2, false)));
        assert_eq!(seen(held.next().await), None);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
