//! A node of another cluster that speaks to members of this one.

use std::time::Duration;

use bytes::Bytes;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use super::{Nemesis, name};
use crate::raft::network::PROTOCOL;
use crate::service::Service;
use crate::testing::TestResult;
use crate::testing::cluster::TestNode;
use crate::wire::convert::cluster_id_to;
use crate::wire::v1 as pb;
use crate::wire::v1::cluster_client::ClusterClient;
use crate::wire::v1::raft_client::RaftClient;

/// How long it waits for all answers.
const WAITS: Duration = Duration::from_millis(500);
/// Who it says it is.
const STRANGER: u64 = 77;
/// A term that any member would give way to.
const TERM: u64 = 1 << 40;

impl<S: Service> Nemesis<S> {
    /// A node of another cluster says all that members say to each other: nothing of it may be heard.
    pub(super) async fn meet_stranger(&mut self) -> TestResult {
        let well = self.well();
        if let Some(node) = self.one_of(&well) {
            self.note(format!(
                "a node of another cluster speaks to {}",
                name(node)
            ));
            if let Ok(Some(what)) = tokio::time::timeout(WAITS, self.speak_as_stranger(node)).await
            {
                self.record
                    .broke(format!("{} {what} a node of another cluster", name(node)));
            }
        }
        Ok(())
    }

    /// What the node did that it must not do.
    async fn speak_as_stranger(&self, node: TestNode) -> Option<&'static str> {
        let address = self.cluster.address(node);
        let running = self.cluster.node(node).ok()?;
        let peers = running.core().peers();
        // One that belongs to no cluster yet hears whoever may take it in.
        peers.cluster_id()?;
        let target = peers.me().node_id;
        let endpoint = Endpoint::from_shared(format!("http://{address}")).ok()?;
        let dialer = self.cluster.dialer("stranger");
        let channel = dialer.connect(&endpoint).await.ok()?;
        let stranger = Stranger {
            channel,
            cluster_id: cluster_id_to(u128::MAX / 3),
            target,
        };
        match stranger.asks_to_belong().await {
            None => stranger.says_what_members_say().await,
            heard => heard,
        }
    }
}

struct Stranger {
    channel: Channel,
    cluster_id: Bytes,
    /// Whom it speaks to.
    target: u64,
}

impl Stranger {
    async fn asks_to_belong(&self) -> Option<&'static str> {
        let mut client = ClusterClient::new(self.channel.clone());
        let greeting = pb::HandshakeRequest {
            cluster_id: self.cluster_id.clone(),
            cluster_name: "test".to_owned(),
            node_id: STRANGER,
            incarnation: STRANGER,
            address: "stranger:1".to_owned(),
            protocol: PROTOCOL,
            ..pb::HandshakeRequest::default()
        };
        if client.handshake(greeting).await.is_ok() {
            return Some("shook hands with");
        }
        let join = pb::JoinRequest {
            cluster_id: self.cluster_id.clone(),
            cluster_name: "test".to_owned(),
            node_id: STRANGER,
            incarnation: STRANGER,
            address: "stranger:1".to_owned(),
            about: None,
        };
        let joined = client.join(join).await.map(tonic::Response::into_inner);
        let is_in = |answer: pb::JoinResponse| {
            matches!(answer.result, Some(pb::join_response::Result::Joined(_)))
        };
        if joined.is_ok_and(is_in) {
            return Some("took in");
        }
        let remove = pb::RemoveRequest {
            cluster_id: self.cluster_id.clone(),
            node_id: self.target,
        };
        let removed = client.remove(remove).await.map(tonic::Response::into_inner);
        let is_done = |answer: pb::RemoveResponse| {
            matches!(answer.result, Some(pb::remove_response::Result::Removed(_)))
        };
        removed.is_ok_and(is_done).then_some("removed a member for")
    }

    async fn says_what_members_say(&self) -> Option<&'static str> {
        let mut raft = RaftClient::new(self.channel.clone());
        let ballot = || pb::VoteRequest {
            envelope: self.envelope(),
            vote: vote(false),
            leadership_transfer: true,
            ..pb::VoteRequest::default()
        };
        if raft.vote(ballot()).await.is_ok() || raft.pre_vote(ballot()).await.is_ok() {
            return Some("answered the vote of");
        }
        let append = || pb::AppendRequest {
            envelope: self.envelope(),
            vote: vote(true),
            ..pb::AppendRequest::default()
        };
        let one = || tokio_stream::once(append());
        if raft.heartbeat(append()).await.is_ok()
            || answers(raft.heartbeats(one()).await).await
            || answers(raft.append(one()).await).await
        {
            return Some("follows");
        }
        let transfer = pb::TransferLeaderRequest {
            envelope: self.envelope(),
            from_leader: vote(true),
            to_node: self.target,
            last: None,
        };
        if raft.transfer_leader(transfer).await.is_ok() {
            return Some("takes leadership over from");
        }
        let offer = pb::SnapshotOffer {
            envelope: self.envelope(),
            vote: vote(true),
            file_id: "0".repeat(32),
            total_bytes: 1,
        };
        let chunk = pb::SnapshotChunk {
            offer: Some(offer.clone()),
            offset: 0,
            data: vec![0].into(),
        };
        if raft.offer_snapshot(offer).await.is_ok()
            || raft.send_snapshot(tokio_stream::once(chunk)).await.is_ok()
        {
            return Some("takes a snapshot from");
        }
        let fetch = pb::SnapshotRequest {
            envelope: self.envelope(),
            min_index: 0,
        };
        if answers(raft.fetch_snapshot(fetch).await).await {
            return Some("gives its state to");
        }
        let clear = pb::ClearPanics {
            service: String::new(),
            method: String::new(),
        };
        let propose = pb::ProposeRequest {
            envelope: self.envelope(),
            item: Some(pb::propose_request::Item::ClearPanics(clear)),
        };
        let proposed = raft.propose(propose).await;
        proposed.is_ok().then_some("writes into its log for")
    }

    fn envelope(&self) -> Option<pb::Envelope> {
        Some(pb::Envelope {
            cluster_id: self.cluster_id.clone(),
            from: STRANGER,
            to: self.target,
            incarnation: STRANGER,
        })
    }
}

fn vote(committed: bool) -> Option<pb::Vote> {
    Some(pb::Vote {
        term: TERM,
        voted_for: Some(STRANGER),
        committed,
    })
}

/// Whether a stream has an answer.
async fn answers<T>(asked: Result<tonic::Response<Streaming<T>>, tonic::Status>) -> bool {
    match asked {
        Ok(stream) => matches!(stream.into_inner().message().await, Ok(Some(_))),
        Err(_) => false,
    }
}
