//! A network that is cut, and strangers in it.

use std::time::Duration;

use tonic::transport::Endpoint;

use super::super::invent::below;
use super::{Lasting, Nemesis, name};
use crate::raft::network::PROTOCOL;
use crate::service::Service;
use crate::testing::TestResult;
use crate::testing::cluster::TestNode;
use crate::wire::convert::cluster_id_to;
use crate::wire::v1 as pb;

/// How long a stranger waits for an answer.
const STRANGER_WAITS: Duration = Duration::from_millis(500);
/// Who it says it is.
const STRANGER: u64 = 77;

impl<S: Service> Nemesis<S> {
    /// Cuts a node off: every other time the leader, which does not learn who leads instead.
    pub(super) fn isolate(&mut self) -> TestResult {
        let well = self.well();
        let any = self.one_of(&well);
        let leader = self.leader().filter(|leader| well.contains(leader));
        let leader = leader.filter(|_| below(&mut self.aimed, 2) == 0);
        if let Some(node) = leader.or(any) {
            self.cluster.isolate(node);
            self.note(format!("{} is cut off from the others", name(node)));
            self.lasting.push(Lasting::Cut("a node was cut off"));
        }
        Ok(())
    }

    /// Lets nothing reach a node; what it sends arrives.
    pub(super) fn deafen(&mut self, node: TestNode) {
        for (other, _) in self.cluster.running() {
            if other != node {
                self.cluster.cut(other, node);
            }
        }
        self.note(format!("{} hears nobody", name(node)));
        self.lasting.push(Lasting::Cut("a node heard nobody"));
    }

    pub(super) fn cut_one_way(&mut self) -> TestResult {
        let well = self.well();
        let (from, to) = (self.one_of(&well), self.one_of(&well));
        if let (Some(from), Some(to)) = (from, to)
            && from != to
        {
            self.cluster.cut(from, to);
            self.note(format!(
                "{} cannot reach {}, the way back is open",
                name(from),
                name(to)
            ));
            self.lasting.push(Lasting::Cut("one way was cut"));
        }
        Ok(())
    }

    /// A node of another cluster speaks to one of these: nothing of what it says may be heard.
    pub(super) async fn meet_stranger(&mut self) -> TestResult {
        let well = self.well();
        if let Some(node) = self.one_of(&well) {
            self.note(format!(
                "a node of another cluster speaks to {}",
                name(node)
            ));
            let heard = tokio::time::timeout(STRANGER_WAITS, self.speak_as_stranger(node)).await;
            if let Ok(Some(what)) = heard {
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
        let cluster_id = cluster_id_to(u128::MAX / 3);
        let greeting = pb::HandshakeRequest {
            cluster_id: cluster_id.clone(),
            cluster_name: "test".to_owned(),
            node_id: STRANGER,
            incarnation: STRANGER,
            address: "stranger:1".to_owned(),
            protocol: PROTOCOL,
            ..pb::HandshakeRequest::default()
        };
        let mut client = pb::cluster_client::ClusterClient::new(channel.clone());
        if client.handshake(greeting).await.is_ok() {
            return Some("shook hands with");
        }
        let ballot = pb::VoteRequest {
            envelope: Some(pb::Envelope {
                cluster_id,
                from: STRANGER,
                to: target,
                incarnation: STRANGER,
            }),
            ..pb::VoteRequest::default()
        };
        let mut raft = pb::raft_client::RaftClient::new(channel);
        raft.vote(ballot).await.ok().map(|_| "answered the vote of")
    }
}
