//! Another voter takes the lead.

use std::time::Duration;

use super::Core;
use crate::error::Error;
use crate::member::display_id;
use crate::raft::{RaftNode, Role};

/// The longest a handover of leadership may take; after that the others elect.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(2);

impl Core {
    /// Asks the voter that is furthest to take over, and waits until it leads.
    pub(super) async fn hand_over(&self) {
        let Some(raft) = self.raft() else {
            return;
        };
        let view = raft.view();
        if view.role != Role::Leader {
            return;
        }
        let Some(heir) = self.heir(&view, |_| true) else {
            return tracing::info!("no other voter is in contact: leadership is not handed over");
        };
        if let Err(error) = raft.transfer_leader(heir).await {
            return tracing::warn!(%error, "leadership was not handed over; the others will elect");
        }
        match next_leader(raft).await {
            Some(_) => tracing::info!("leadership handed over"),
            None => tracing::warn!("the handover failed; the others will elect a leader"),
        }
    }

    /// Has another voter lead: this one, or whichever is furthest. Gives who leads then.
    pub(crate) async fn transfer_leader(&self, to: Option<u64>) -> Result<u64, Error> {
        let not_here = || Error::unavailable("this node does not lead");
        let raft = self.raft().ok_or_else(not_here)?;
        let view = raft.view();
        if view.role != Role::Leader {
            return Err(not_here());
        }
        if to == Some(raft.id()) {
            return Ok(raft.id());
        }
        if let Some(to) = to.filter(|to| !view.members.members.is_voter(*to)) {
            return Err(Error::rejected(format!(
                "{} is no voter; `braft members` shows who is",
                display_id(to)
            )));
        }
        let heir = self.heir(&view, |id| to.is_none_or(|to| to == id));
        let heir = heir.ok_or_else(|| {
            let who = to.map_or_else(|| "no other voter".to_owned(), display_id);
            let is = if to.is_some() { "is not" } else { "is" };
            Error::unavailable(format!("{who} {is} in contact with the leader; try again"))
        })?;
        raft.transfer_leader(heir).await?;
        let next = next_leader(raft).await;
        next.ok_or_else(|| {
            Error::unavailable(format!(
                "{} has not taken over within {HANDOVER_TIMEOUT:?}; the voters elect a leader",
                display_id(heir)
            ))
        })
    }
}

/// Who leads next, if that is soon.
async fn next_leader(raft: &RaftNode) -> Option<u64> {
    let me = raft.id();
    let handed = raft.wait_for(|view| view.leader.is_some_and(|leader| leader != me));
    let view = tokio::time::timeout(HANDOVER_TIMEOUT, handed).await;
    view.ok().flatten().and_then(|view| view.leader)
}
