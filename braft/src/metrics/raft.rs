//! Entries on their way, and what was applied.

use std::sync::atomic::{AtomicU64, Ordering};

use super::histogram::Histogram;

/// The figures of one node's log and state.
#[derive(Debug, Default)]
pub(crate) struct RaftFigures {
    /// From the proposal of an entry until it is applied, on the leader.
    pub(crate) commit: Histogram,
    /// To carry out entries that came together.
    pub(crate) apply: Histogram,
    /// To write a snapshot.
    pub(crate) snapshot: Histogram,
    applied: AtomicU64,
}

impl RaftFigures {
    pub(crate) fn note_applied(&self, items: usize) {
        self.applied.fetch_add(items as u64, Ordering::Relaxed);
    }

    /// Commands and other items that were carried out since the start.
    pub(crate) fn applied(&self) -> u64 {
        self.applied.load(Ordering::Relaxed)
    }
}
