//! What of a seed is played.

use std::collections::BTreeMap;
use std::time::Duration;

/// One call of a seed: whose, and which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CallId {
    pub(super) client: usize,
    /// Which of those that a client has under way at once.
    pub(super) strand: usize,
    pub(super) number: usize,
}

/// One fault, or the end of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Act {
    /// When, since the start of the check.
    pub(super) at: Duration,
    /// Whether it ended one.
    pub(super) ends_one: bool,
}

/// The calls and faults of a seed that are played, each when it came, and no others.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// When each begins at the earliest.
    pub(super) calls: BTreeMap<CallId, Duration>,
    /// By their number.
    pub(super) acts: BTreeMap<usize, Act>,
    /// Whether the cluster forms under faults.
    pub(super) is_rough: bool,
    /// When the clients are done.
    pub(super) until: Duration,
}

impl Script {
    /// What of this one was begun until then.
    pub(super) fn cut(&self, until: Duration) -> Self {
        let calls = self.calls.iter().filter(|(_, at)| **at <= until);
        let acts = self.acts.iter().filter(|(_, act)| act.at <= until);
        Script {
            calls: calls.map(|(id, at)| (*id, *at)).collect(),
            acts: acts.map(|(number, act)| (*number, *act)).collect(),
            is_rough: self.is_rough,
            until: until.min(self.until),
        }
    }
}
