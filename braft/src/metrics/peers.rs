//! What was said to each peer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::histogram::Histogram;

/// Peers counted apart; beyond it the one with the lowest id is forgotten. Far more than members.
const MAX_PEERS: usize = 256;

/// The figures of all peers.
#[derive(Debug, Default)]
pub(crate) struct PeersFigures {
    peers: Mutex<BTreeMap<u64, Arc<PeerFigures>>>,
}

/// The messages to one peer.
#[derive(Debug, Default)]
pub(crate) struct PeerFigures {
    appends: AtomicU64,
    failures: AtomicU64,
    /// On the connections that were opened to it.
    pub(crate) traffic: Arc<Traffic>,
    /// Heartbeats that were answered, by the time until the answer.
    pub(crate) heartbeats: Histogram,
}

/// Bytes on connections.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Traffic {
    pub(crate) fn note_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn note_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

impl PeersFigures {
    /// Those of one peer; looked up once by each of its clients.
    pub(crate) fn of(&self, peer: u64) -> Arc<PeerFigures> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= MAX_PEERS && !peers.contains_key(&peer) {
            peers.pop_first();
        }
        peers.entry(peer).or_default().clone()
    }

    pub(crate) fn all(&self) -> Vec<(u64, Arc<PeerFigures>)> {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.iter().map(|(id, peer)| (*id, peer.clone())).collect()
    }
}

impl PeerFigures {
    pub(crate) fn note_append(&self) {
        self.appends.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Append messages sent.
    pub(crate) fn appends(&self) -> u64 {
        self.appends.load(Ordering::Relaxed)
    }

    /// Connections and messages that failed.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_keeps_its_figures_and_the_number_of_peers_is_bounded() {
        let figures = PeersFigures::default();
        figures.of(u64::MAX).note_append();
        for peer in 0..2 * MAX_PEERS as u64 {
            drop(figures.of(peer));
        }
        assert_eq!(figures.all().len(), MAX_PEERS);
        assert_eq!(figures.of(u64::MAX).appends(), 1);
    }
}
