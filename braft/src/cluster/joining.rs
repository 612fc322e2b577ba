//! Asking the leader of a cluster to be taken in, or to be let go.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};

use crate::raft::network::Peers;
use crate::wire::convert::cluster_id_to;
use crate::wire::v1 as pb;
use crate::wire::v1::cluster_client::ClusterClient;
use crate::wire::v1::join_response::Result as Joined;
use crate::wire::v1::remove_response::Result as Removed;

/// The longest one request may take; it is made again.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Redirections followed.
const MAX_HOPS: usize = 3;

/// Why a member was not removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoveError {
    /// Asking again will not help.
    #[error("{0}")]
    Refused(String),
    /// Asking again may help.
    #[error("{0}")]
    NotYet(String),
}

/// A log id as (term, index).
type LogId = (u64, u64);

/// Speaks to the leader about this node's, or another's, membership.
#[derive(Debug)]
pub(crate) struct Joiner {
    peers: Arc<Peers>,
    /// The removal this node was told of: its log id and what to do.
    removed: watch::Sender<Option<(LogId, String)>>,
    /// Why it was not taken in when it last asked.
    refused: watch::Sender<Option<String>>,
}

impl Joiner {
    pub(crate) fn new(peers: Arc<Peers>) -> Self {
        Joiner {
            peers,
            removed: watch::Sender::new(None),
            refused: watch::Sender::new(None),
        }
    }

    /// Why this node is no longer a member, or cannot become one, if it was told so.
    pub(crate) fn notice(&self) -> Option<String> {
        let removed = self.removed.borrow().as_ref().map(|(_, why)| why.clone());
        removed.or_else(|| self.refused.borrow().clone())
    }

    pub(crate) fn is_out(&self) -> bool {
        self.removed.borrow().is_some()
    }

    /// This node is in a membership: an older removal, or refusal, counts no more.
    pub(crate) fn belongs(&self, membership: Option<LogId>) {
        self.refused
            .send_if_modified(|refused| refused.take().is_some());
        self.removed.send_if_modified(|removed| {
            let over = removed
                .as_ref()
                .is_some_and(|(log_id, _)| membership > Some(*log_id));
            if over {
                *removed = None;
            }
            over
        });
    }

    /// Asks at an address to be taken in; `membership` is the log id of the newest membership this
    /// node knows.
    ///
    /// Gives whether it got an answer that settles the matter.
    pub(crate) async fn ask(&self, address: &str, membership: Option<LogId>) -> bool {
        let mut address = address.to_owned();
        for _ in 0..MAX_HOPS {
            let asked = tokio::time::timeout(REQUEST_TIMEOUT, self.ask_once(&address)).await;
            match asked {
                Ok(Ok(Some(Joined::Joined(_)))) => {
                    tracing::debug!(%address, "the cluster counts this node in");
                    self.refused.send_replace(None);
                    return true;
                }
                Ok(Ok(Some(Joined::Leader(leader)))) => address = leader,
                Ok(Ok(Some(Joined::Removed(removed)))) => {
                    self.removed(&address, removed, membership);
                    return true;
                }
                Ok(Ok(Some(Joined::Refused(why)))) => {
                    let me = self.peers.me().node_id;
                    let text = format!("not taken into the cluster by {address}: {why}");
                    self.peers.complain(me, &text);
                    self.refused.send_replace(Some(text));
                    return true;
                }
                Ok(Ok(Some(Joined::Later(why)))) => {
                    tracing::debug!(%address, "not taken in yet: {why}");
                    return false;
                }
                Ok(Ok(None)) => {
                    tracing::debug!(%address, "an empty answer to joining");
                    return false;
                }
                Ok(Err(reason)) => {
                    tracing::debug!(%address, "cannot ask to join: {reason}");
                    return false;
                }
                Err(_) => {
                    tracing::debug!(%address, "no answer to joining in time");
                    return false;
                }
            }
        }
        false
    }

    /// A leader says that this node was removed. It counts only if it is newer than the membership
    /// this node knows: an answer may have been on its way for long. Nothing is deleted.
    fn removed(&self, address: &str, removed: pb::Removed, membership: Option<LogId>) {
        let log_id = (removed.term, removed.index);
        if membership >= Some(log_id) {
            return tracing::debug!(
                %address, ?log_id, ?membership,
                "told of a removal that is older than the membership this node knows; ignored"
            );
        }
        self.removed.send_if_modified(|known| {
            let news = known.as_ref().is_none_or(|(known, _)| *known < log_id);
            if news {
                tracing::error!(%address, "{}", removed.why);
                *known = Some((log_id, removed.why));
            }
            news
        });
    }

    async fn client(&self, address: &str) -> Result<ClusterClient<Channel>, String> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| error.to_string())?
            .connect_timeout(REQUEST_TIMEOUT);
        let channel = self.peers.dialer().connect(&endpoint).await;
        Ok(ClusterClient::new(
            channel.map_err(|error| error.to_string())?,
        ))
    }

    async fn ask_once(&self, address: &str) -> Result<Option<Joined>, String> {
        let me = self.peers.me();
        let request = pb::JoinRequest {
            cluster_id: self.cluster_id(),
            cluster_name: me.cluster_name.clone(),
            node_id: me.node_id,
            incarnation: me.incarnation,
            address: me.address.clone(),
            about: Some(self.peers.own_about()),
        };
        let answer = self.client(address).await?.join(request).await;
        answer
            .map(|answer| answer.into_inner().result)
            .map_err(|status| status.message().to_owned())
    }

    fn cluster_id(&self) -> bytes::Bytes {
        self.peers
            .cluster_id()
            .map(cluster_id_to)
            .unwrap_or_default()
    }

    /// Asks at an address that a member be removed for good. Gives the log index from which on it
    /// is.
    pub(crate) async fn remove(&self, address: &str, node_id: u64) -> Result<u64, RemoveError> {
        let mut address = address.to_owned();
        for _ in 0..MAX_HOPS {
            let request = pb::RemoveRequest {
                cluster_id: self.cluster_id(),
                node_id,
            };
            let asking = async {
                self.client(&address)
                    .await?
                    .remove(request)
                    .await
                    .map_err(text)
            };
            let answer = tokio::time::timeout(REQUEST_TIMEOUT, asking).await;
            let late = |_| RemoveError::NotYet(format!("no answer from {address} in time"));
            let answer = answer.map_err(late)?.map_err(RemoveError::NotYet)?;
            match answer.into_inner().result {
                Some(Removed::Removed(index)) => return Ok(index),
                Some(Removed::Leader(leader)) => address = leader,
                Some(Removed::Refused(why)) => return Err(RemoveError::Refused(why)),
                Some(Removed::Later(why)) => return Err(RemoveError::NotYet(why)),
                None => {
                    let text = format!("an empty answer from {address}");
                    return Err(RemoveError::Refused(text));
                }
            }
        }
        Err(RemoveError::NotYet("the leader changes".to_owned()))
    }
}

fn text(status: tonic::Status) -> String {
    status.message().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Dialer;
    use crate::raft::network::Identity;

    fn joiner() -> Joiner {
        let peers = Peers::new(Identity::default(), Dialer::default(), Some(1));
        Joiner::new(Arc::new(peers))
    }

    fn removal(term: u64, index: u64) -> pb::Removed {
        pb::Removed {
            why: "removed by an operator".to_owned(),
            term,
            index,
        }
    }

    #[test]
    fn a_lagging_member_cannot_tell_a_node_that_it_was_removed() {
        let joiner = joiner();
        joiner.removed("a:1", removal(3, 10), Some((3, 10)));
        joiner.removed("a:1", removal(2, 90), Some((3, 10)));
        assert_eq!(joiner.notice(), None);
        joiner.removed("a:1", removal(3, 11), Some((3, 10)));
        assert!(joiner.is_out());
    }

    #[test]
    fn a_node_that_is_a_member_again_forgets_its_removal() {
        let joiner = joiner();
        joiner.removed("a:1", removal(3, 11), Some((3, 10)));
        joiner.belongs(Some((3, 10)));
        assert!(joiner.is_out());
        joiner.belongs(Some((3, 12)));
        assert!(!joiner.is_out());
    }
}
