//! Leaving for good: this node, or one that is given up.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{Core, Node, Stopped};
use crate::cluster::joining::RemoveError;
use crate::error::Error;

/// How long to wait before the leader is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(200);

impl Node {
    /// Leaves the cluster for good and stops: hands leadership over, has itself removed from the
    /// members, then shuts down. Its data stays; to take part again it needs an empty data
    /// directory. To stop for a while, use [`shutdown`](Node::shutdown).
    ///
    /// # Errors
    /// If it is not removed within `deadline`, with the reason: `min_voters` would be undercut, for
    /// one, or the others alone would be no majority. The node then goes on.
    pub async fn leave(&self, deadline: Duration) -> Result<(), Error> {
        let me = self.inner.core.peers().me().node_id;
        self.inner.core.remove(me, deadline).await?;
        tracing::info!("left the cluster");
        self.halt().await;
        self.inner.core.stop(Stopped::Shutdown);
        Ok(())
    }

    /// Removes a member from the cluster for good, by its id as the status shows it. A node that is
    /// merely down is removed by itself after `dead_after`, and may come back; this one may not.
    ///
    /// # Errors
    /// If `id` is no member's, or it is not removed within `deadline`, with the reason.
    pub async fn remove_member(&self, id: &str, deadline: Duration) -> Result<(), Error> {
        let id = u64::from_str_radix(id, 16).map_err(|_| {
            let text = format!("{id:?} is no node id: 16 hexadecimal digits, as in the status");
            Error::rejected(text)
        })?;
        self.inner.core.remove(id, deadline).await
    }
}

impl Core {
    /// Has a member removed for good, through whoever leads.
    pub(crate) async fn remove(&self, id: u64, deadline: Duration) -> Result<(), Error> {
        let until = Instant::now() + deadline;
        let mut why = "the leader did not answer".to_owned();
        loop {
            // A leader cannot remove itself; a handover that fails is tried again.
            if id == self.peers().me().node_id {
                self.hand_over().await;
            }
            let address = self
                .leader_address()
                .unwrap_or_else(|| self.peers().me().address.clone());
            match timeout_at(until, self.joiner.remove(&address, id)).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(RemoveError::Refused(why))) => return Err(Error::rejected(why)),
                Ok(Err(RemoveError::NotYet(reason))) => why = reason,
                Err(_) => {}
            }
            if Instant::now() + ASK_AGAIN >= until {
                let text = format!("not removed within {deadline:?}: {why}");
                return Err(Error::unavailable(text));
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
}
