//! What nodes ask of the leader about their membership, until the plan has looked at it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::member::NodeInfo;

/// Requests kept at a time; a node whose request finds no room asks again.
const MAX_REQUESTS: usize = 64;
/// How long a request is kept: whoever still wants it asks again by then.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// Requests at this node, which counts only while it leads.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    all: Mutex<All>,
    /// Told of each new request.
    pub(crate) made: Notify,
}

#[derive(Debug, Default)]
struct All {
    joins: BTreeMap<u64, (NodeInfo, Instant)>,
    removals: BTreeMap<u64, Instant>,
}

impl Requests {
    fn all(&self) -> MutexGuard<'_, All> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.joins.retain(|_, (_, at)| at.elapsed() < KEPT_FOR);
        all.removals.retain(|_, at| at.elapsed() < KEPT_FOR);
        all
    }

    /// A node asks to be taken in; false if too many ask already.
    pub(crate) fn join(&self, node_id: u64, info: NodeInfo) -> bool {
        let mut all = self.all();
        let room = all.joins.len() < MAX_REQUESTS || all.joins.contains_key(&node_id);
        if room {
            all.joins.insert(node_id, (info, Instant::now()));
            self.made.notify_one();
        }
        room
    }

    /// Somebody asks for a member to be removed; false if there are too many such requests already.
    pub(crate) fn remove(&self, node_id: u64) -> bool {
        let mut all = self.all();
        let room = all.removals.len() < MAX_REQUESTS || all.removals.contains_key(&node_id);
        if room {
            all.removals.entry(node_id).or_insert_with(Instant::now);
            self.made.notify_one();
        }
        room
    }

    /// Nodes that ask to be taken in.
    pub(crate) fn joins(&self) -> BTreeMap<u64, NodeInfo> {
        let all = self.all();
        let joins = all.joins.iter();
        joins.map(|(id, (info, _))| (*id, info.clone())).collect()
    }

    /// Members whose removal was asked for at least so long ago.
    pub(crate) fn removals(&self, age: Duration) -> BTreeSet<u64> {
        let all = self.all();
        let old = all.removals.iter().filter(|(_, at)| at.elapsed() >= age);
        old.map(|(id, _)| *id).collect()
    }

    /// Forgets all requests: this node leads no more, and its successor is asked anew.
    pub(crate) fn clear(&self) {
        *self.all() = All::default();
    }

    /// A request has been fulfilled, or whoever made it was told that it was not.
    pub(crate) fn done(&self, node_id: u64) {
        let mut all = self.all();
        all.joins.remove(&node_id);
        all.removals.remove(&node_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_bounded_and_a_known_one_is_renewed() {
        let requests = Requests::default();
        for id in 0..MAX_REQUESTS as u64 {
            assert!(requests.join(id, NodeInfo::default()) && requests.remove(id));
        }
        assert!(!requests.join(1000, NodeInfo::default()) && !requests.remove(1000));
        assert!(requests.join(3, NodeInfo::default()) && requests.remove(3));
        requests.done(3);
        assert!(requests.join(1000, NodeInfo::default()) && requests.remove(1000));
        assert_eq!(requests.joins().len(), MAX_REQUESTS);
        assert_eq!(requests.removals(Duration::ZERO).len(), MAX_REQUESTS);
    }
}
