//! Cutting the network between the nodes of a test.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use crate::net::Gate;

/// Which node cannot reach which address.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    cut: Arc<RwLock<BTreeSet<(String, String)>>>,
}

impl Faults {
    /// The gate through which the node at `from` reaches the others.
    pub(super) fn gate(&self, from: &str) -> Arc<dyn Gate> {
        Arc::new(NodeGate {
            from: from.to_owned(),
            faults: self.clone(),
        })
    }

    /// Cuts the way from one node to another; the way back stays.
    pub(super) fn cut(&self, from: &str, to: &str) {
        let mut cut = self.cut.write().unwrap_or_else(PoisonError::into_inner);
        cut.insert((from.to_owned(), to.to_owned()));
    }

    pub(super) fn heal(&self) {
        self.cut
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

#[derive(Debug)]
struct NodeGate {
    from: String,
    faults: Faults,
}

impl Gate for NodeGate {
    fn is_open(&self, to: &str) -> bool {
        let cut = self
            .faults
            .cut
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        // Nearly always empty: spare the strings of the lookup.
        cut.is_empty() || !cut.contains(&(self.from.clone(), to.to_owned()))
    }
}
