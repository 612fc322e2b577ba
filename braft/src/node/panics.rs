//! What follows a command that panicked.

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::{Node, RECENT_CONTACT};
use crate::entry::Item;
use crate::error::Error;
use crate::member::display_id;
use crate::raft::{RaftNode, RaftView, Role};

/// How often a leader looks for what is left to do; mostly it is told.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// On the leader: puts into the log which commands have panicked. A later binary may not panic there,
/// and must not carry them out when it replays the log.
pub(super) async fn confirm(raft: RaftNode) {
    loop {
        let told = raft.machine().panicked().notified();
        // In vain: it is looked at again.
        let _ = tokio::time::timeout(LOOK_EVERY, told).await;
        if !raft.is_leader() {
            continue;
        }
        let unconfirmed = raft
            .machine()
            .glance(|replica| replica.panics().unconfirmed().collect::<Vec<_>>());
        let unconfirmed = unconfirmed.unwrap_or_default();
        let is_news = !unconfirmed.is_empty();
        for (index, ordinal) in unconfirmed {
            let confirmed = raft.propose_own(Item::SkipPanicked { index, ordinal });
            if let Err(error) = confirmed.await {
                tracing::debug!(%error, "a panic is not in the log yet");
                break;
            }
        }
        if is_news {
            // Whether it panicked on all replicas, and whether they were made anew alike.
            super::comparing::mark(&raft).await;
        }
    }
}

/// On a leader that halted on a panic: hands over to a voter that did not, if there is one. Mostly
/// there is none, since a command panics on every replica or on none.
pub(super) async fn leave_to_others(core: Arc<Core>) {
    let raft = core.raft_started().await.clone();
    let mut halted = raft.watch_halted();
    if halted.wait_for(Option::is_some).await.is_err() {
        return;
    }
    loop {
        if raft.is_leader() {
            let statuses = core.all_statuses().await;
            let goes_on = |id: u64| {
                let id = display_id(id);
                let status = statuses.iter().find(|status| status.node_id == id);
                status.is_some_and(|status| status.error.is_none())
            };
            if let Some(heir) = core.heir(&raft.view(), goes_on)
                && let Err(error) = raft.transfer_leader(heir).await
            {
                tracing::warn!(%error, "leadership was not handed over");
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl Core {
    /// The voter to hand leadership to: of those in contact that will do, the one that is furthest.
    pub(super) fn heir(&self, view: &RaftView, will_do: impl Fn(u64) -> bool) -> Option<u64> {
        if view.role != Role::Leader {
            return None;
        }
        let me = self.peers.me().node_id;
        let in_contact = |id: &u64| {
            let contact = view.contact.get(id).copied().flatten();
            *id != me && contact.is_some_and(|at| at.elapsed() < RECENT_CONTACT)
        };
        let matched = view.matched.as_ref();
        let furthest = |id: &u64| matched.and_then(|all| all.get(id).copied().flatten());
        let others = view.members.members.voters().into_iter();
        let others = others.filter(|id| in_contact(id) && will_do(*id));
        others.max_by_key(furthest)
    }
}

impl Node {
    /// Lets a method be carried out again that was refused because it had panicked three times: once
    /// every node runs a binary in which it returns an error instead.
    /// [`Status::panics`](crate::Status::panics) lists the methods.
    ///
    /// # Errors
    /// If there is no such command, or no leader that could put it into the log.
    pub async fn clear_panics(&self, service: &str, method: &str) -> Result<(), Error> {
        self.inner.core.clear_panics(service, method).await
    }
}
