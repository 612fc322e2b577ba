//! Snapshots that peers are being given.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a peer counts as being given a snapshot after it was sent, or broke off: raft learns a moment
/// later how far the peer's log reaches then, or sends the rest.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// Which peers are being given a snapshot, and the last log index in it.
#[derive(Debug, Default)]
pub(crate) struct Given {
    peers: Mutex<BTreeMap<u64, Giving>>,
    begun: AtomicU64,
}

#[derive(Debug)]
struct Giving {
    index: u64,
    /// Which one it is: an earlier one to the same peer may end later than this one begins.
    number: u64,
    /// Nothing while it is sent.
    ended: Option<Instant>,
}

/// Says that a peer is being given a snapshot until this is dropped.
#[derive(Debug)]
pub(super) struct Sending {
    given: Arc<Given>,
    peer: u64,
    number: u64,
}

impl Given {
    pub(super) fn begin(self: &Arc<Self>, peer: u64, index: u64) -> Sending {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let giving = Giving {
            index,
            number,
            ended: None,
        };
        self.all().insert(peer, giving);
        Sending {
            given: Arc::clone(self),
            peer,
            number,
        }
    }

    /// For each such peer the log index after which it needs the log.
    pub(crate) fn indexes(&self) -> BTreeMap<u64, u64> {
        let mut all = self.all();
        let is_over = |ended: Instant| ended.elapsed() > AFTERWARDS;
        all.retain(|_, giving| !giving.ended.is_some_and(is_over));
        all.iter()
            .map(|(peer, giving)| (*peer, giving.index))
            .collect()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<u64, Giving>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(giving) = self.given.all().get_mut(&self.peer)
            && giving.number == self.number
        {
            giving.ended = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_end_of_an_earlier_one_is_not_that_of_the_next() {
        let given = Arc::new(Given::default());
        let earlier = given.begin(2, 70);
        let _next = given.begin(2, 90);
        drop(earlier);
        tokio::time::sleep(AFTERWARDS * 10).await;
        assert_eq!(given.indexes(), BTreeMap::from([(2, 90)]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_counts_while_it_is_sent_one_and_a_moment_longer() {
        let given = Arc::new(Given::default());
        let sending = given.begin(2, 70);
        tokio::time::sleep(AFTERWARDS * 10).await;
        assert_eq!(given.indexes(), BTreeMap::from([(2, 70)]));
        drop(sending);
        tokio::time::sleep(AFTERWARDS / 2).await;
        assert_eq!(given.indexes(), BTreeMap::from([(2, 70)]));
        tokio::time::sleep(AFTERWARDS).await;
        assert_eq!(given.indexes(), BTreeMap::new());
    }
}
