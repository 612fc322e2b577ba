//! Who leads, told to callers as soon as it is known here: they go to the leader themselves.

use tokio::sync::watch;

use crate::raft::RaftNode;
use crate::raft::network::Peers;
use crate::request::LeaderNews;

/// Tells whenever there is another leader; ends with raft.
pub(super) async fn tell(raft: RaftNode, peers: &Peers, news: &watch::Sender<Option<LeaderNews>>) {
    let mut last = 0;
    while let Some(view) = raft.leader_after(last).await {
        let Some((id, info)) = view.leader_info() else {
            continue;
        };
        last = view.term;
        let elsewhere = (id != peers.me().node_id)
            .then(|| peers.address_of(id).unwrap_or_else(|| info.address.clone()));
        news.send_replace(Some(LeaderNews {
            term: view.term,
            address: elsewhere.map(Into::into),
        }));
    }
}
