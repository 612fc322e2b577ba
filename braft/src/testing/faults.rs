//! Faults of the network between the nodes and clients of a test.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::net::Gate;

/// What is wrong with the network; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Who cannot reach which address.
    cut: RwLock<BTreeSet<(String, String)>>,
    /// Raised to break all connections.
    epoch: AtomicU64,
    /// Of how many answers to clients one is lost; 0 for none.
    one_lost_in: AtomicU64,
    answers: AtomicU64,
}

/// Who opens connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Node,
    Client,
}

impl Faults {
    /// The gate through which whoever is at `from` reaches the nodes.
    pub(super) fn gate(&self, side: Side, from: &str) -> Arc<dyn Gate> {
        Arc::new(SideGate {
            side,
            from: from.to_owned(),
            faults: self.clone(),
        })
    }

    /// Cuts the way from one node to another; the way back stays.
    pub(super) fn cut(&self, from: &str, to: &str) {
        let mut cut = self.0.cut.write().unwrap_or_else(PoisonError::into_inner);
        cut.insert((from.to_owned(), to.to_owned()));
    }

    pub(super) fn heal(&self) {
        let cut = self.0.cut.write();
        cut.unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Breaks all connections there are; new ones can be made at once.
    pub(super) fn break_connections(&self) {
        self.0.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// Loses one of so many answers on its way to a client; none for 0.
    pub(super) fn lose_one_answer_in(&self, answers: u64) {
        self.0.one_lost_in.store(answers, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct SideGate {
    side: Side,
    from: String,
    faults: Faults,
}

impl Gate for SideGate {
    fn is_open(&self, to: &str) -> bool {
        let cut = self.faults.0.cut.read();
        let cut = cut.unwrap_or_else(PoisonError::into_inner);
        // Nearly always empty: spare the strings of the lookup.
        cut.is_empty() || !cut.contains(&(self.from.clone(), to.to_owned()))
    }

    fn epoch(&self) -> u64 {
        self.faults.0.epoch.load(Ordering::Relaxed)
    }

    fn loses_answer(&self) -> bool {
        let one_in = self.faults.0.one_lost_in.load(Ordering::Relaxed);
        self.side == Side::Client
            && one_in > 0
            && self.faults.0.answers.fetch_add(1, Ordering::Relaxed) % one_in == one_in - 1
    }
}
