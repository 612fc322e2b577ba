//! The gRPC service through which nodes meet: handshake, formation, joining, status.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};

use super::admission::Vouched;
use crate::cluster::membership::MAX_MEMBERS;
use crate::cluster::observation::is_usable;
use crate::cluster::requests::Requests;
use crate::codec;
use crate::machine::too_old;
use crate::member::{NodeInfo, Removal, display_id};
use crate::node::Core;
use crate::raft::network::versions_from;
use crate::raft::{RaftNode, Role};
use crate::wire::convert::{cluster_id_from, cluster_id_to};
use crate::wire::v1 as pb;
use crate::wire::v1::cluster_server::{Cluster as ClusterRpc, ClusterServer};
use crate::wire::v1::join_response::Result as Joined;
use crate::wire::v1::remove_response::Result as Removed;

/// The largest message of this service, in bytes.
const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// The longest an answer waits for the plan; whoever asked asks again.
const REQUEST_PATIENCE: Duration = Duration::from_secs(2);

pub(crate) struct ClusterService {
    core: Arc<Core>,
}

impl ClusterService {
    pub(crate) fn server(core: Arc<Core>) -> ClusterServer<ClusterService> {
        ClusterServer::new(ClusterService { core }).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Whether a request is meant for this cluster; if not, why.
    fn is_ours(&self, cluster_id: &[u8]) -> Result<(), String> {
        let ours = self.core.peers().cluster_id();
        if cluster_id.is_empty() || cluster_id_from(cluster_id).ok() == ours {
            return Ok(());
        }
        Err("this is another cluster; clusters never merge".to_owned())
    }

    async fn join(&self, request: pb::JoinRequest) -> Joined {
        let name = self.core.cluster_name();
        if request.cluster_name != name {
            return Joined::Refused(format!(
                "this cluster is named {name:?}, the joiner wants {:?}; set BRAFT_CLUSTER",
                request.cluster_name
            ));
        }
        if let Err(why) = self.is_ours(&request.cluster_id) {
            return Joined::Refused(why);
        }
        let Some(raft) = self.core.raft() else {
            return Joined::Later("this node is in no cluster yet".to_owned());
        };
        let view = raft.view();
        if view.role != Role::Leader {
            return match self.core.leader_address() {
                Some(leader) => Joined::Leader(leader),
                None => Joined::Later("the cluster has no leader at this moment".to_owned()),
            };
        }
        let cluster_id = self.core.peers().cluster_id();
        let joined = Joined::Joined(cluster_id.map(cluster_id_to).unwrap_or_default());
        let about = request.about.unwrap_or_default();
        let known = versions_from(Some(&about));
        if let Some((service, active, has)) = raft.machine().active_versions().missing_in(&known) {
            return Joined::Refused(too_old(service, active, has));
        }
        let info = NodeInfo {
            name: about.name,
            name_is_chosen: about.name_is_chosen,
            address: request.address,
            http_address: about.http_address,
        };
        if !is_usable(&info) {
            return Joined::Refused(format!("{:?} is no address", info.address));
        }
        let id = request.node_id;
        let nodes = &view.members.members.nodes;
        if nodes.contains_key(&id) {
            return joined;
        }
        if let Some(removed) = self.removed(raft, id).await {
            return removed;
        }
        if nodes.len() >= MAX_MEMBERS {
            let text = format!("there are {MAX_MEMBERS} members already; remove some first");
            return Joined::Refused(text);
        }
        if let Err(why) = self.is_reached(&info.address, id).await {
            return Joined::Later(why);
        }
        if !self.core.requests().join(id, info) {
            return Joined::Later("too many nodes ask to be taken in".to_owned());
        }
        let taken_in = raft.wait_for(|view| view.members.members.nodes.contains_key(&id));
        match tokio::time::timeout(REQUEST_PATIENCE, taken_in).await {
            Ok(Some(_)) => joined,
            Ok(None) | Err(_) => Joined::Later(self.reason(id)),
        }
    }

    /// What to tell a node that was removed for good. Only a leader that a quorum confirms may.
    async fn removed(&self, raft: &RaftNode, id: u64) -> Option<Joined> {
        let index = match raft.confirm_leadership().await {
            Ok(index) => index,
            Err(error) => return Some(Joined::Later(error.to_string())),
        };
        // What was committed before this leader's time may not be applied yet.
        let mut applied = raft.watch_applied();
        let caught_up = applied.wait_for(|applied| *applied >= index);
        let caught_up = tokio::time::timeout(REQUEST_PATIENCE, caught_up).await;
        if !matches!(caught_up, Ok(Ok(_))) {
            return Some(Joined::Later("the leader is catching up".to_owned()));
        }
        let removed = raft
            .machine()
            .glance(|replica| replica.removed().get(id).cloned());
        let Some(removed) = removed else {
            return Some(Joined::Later("the leader's state is in use".to_owned()));
        };
        let removed = removed.filter(|removed| removed.removal == Removal::Operator)?;
        Some(Joined::Removed(pb::Removed {
            why: format!(
                "this node ({}) left the cluster or was removed from it by an operator, and stays \
                 out; to take part again as a new node, start it with an empty data directory",
                display_id(id)
            ),
            term: removed.log_id.0,
            index: removed.log_id.1,
        }))
    }

    /// Whether a node answers where it says it does. One that does not would be a learner that is
    /// never heard, removed as dead, and back at once.
    async fn is_reached(&self, address: &str, id: u64) -> Result<(), String> {
        let answer = self.core.peers().probe(address).await;
        match answer {
            Some(answer) if answer.node_id == id => Ok(()),
            Some(answer) => Err(format!(
                "the joiner says it is reached at {address}, where {} answers; set BRAFT_IP and \
                 BRAFT_RPORT",
                display_id(answer.node_id)
            )),
            None => Err(format!(
                "the joiner says it is reached at {address}, where nobody answers the leader; set \
                 BRAFT_IP and BRAFT_RPORT, or open the firewall"
            )),
        }
    }

    /// Why the plan does nothing with a node.
    fn reason(&self, id: u64) -> String {
        let outlook = self.core.outlook().map(|outlook| outlook.borrow().clone());
        let reason = outlook.and_then(|report| report.reasons.get(&id).cloned());
        reason.unwrap_or_else(|| "another change of members is under way".to_owned())
    }

    async fn remove(&self, request: pb::RemoveRequest) -> Removed {
        if let Err(why) = self.is_ours(&request.cluster_id) {
            return Removed::Refused(why);
        }
        let Some(raft) = self.core.raft() else {
            return Removed::Refused("this node is in no cluster".to_owned());
        };
        let id = request.node_id;
        let view = raft.view();
        if view.role != Role::Leader {
            return match self.core.leader_address() {
                Some(leader) => Removed::Leader(leader),
                None => Removed::Later("the cluster has no leader at this moment".to_owned()),
            };
        }
        if !view.members.members.nodes.contains_key(&id) {
            let gone = raft
                .machine()
                .glance(|replica| replica.removed().get(id).cloned());
            return match gone {
                Some(Some(removed)) => Removed::Removed(removed.log_id.1),
                Some(None) => Removed::Refused(format!("{} is no member", display_id(id))),
                None => Removed::Later("the leader's state is in use".to_owned()),
            };
        }
        if !self.core.requests().remove(id) {
            return Removed::Later("too many removals are asked for".to_owned());
        }
        // Whoever asks no more must not be removed later, behind its back.
        let _withdrawn = Withdraw(self.core.requests(), id);
        let gone = raft.wait_for(|view| {
            let members = &view.members;
            !members.members.nodes.contains_key(&id) && members.log_id <= view.committed
        });
        match tokio::time::timeout(REQUEST_PATIENCE, gone).await {
            Ok(Some(view)) => Removed::Removed(view.members.log_id.map_or(0, |id| id.1)),
            Ok(None) | Err(_) => Removed::Later(self.reason(id)),
        }
    }
}

/// Takes a request back at the end of the call that made it.
struct Withdraw<'a>(&'a Requests, u64);

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        self.0.done(self.1);
    }
}

/// Without a join token, only hosts of the own network are let in; nor are operators without a token.
pub(super) fn check_origin<T>(request: &Request<T>) -> Result<(), Status> {
    if request.extensions().get::<Vouched>().is_some() {
        return Ok(());
    }
    match request.remote_addr() {
        Some(from) if !is_private(from.ip()) => {
            let text = format!(
                "{} is not a private address: without a join token only nodes of the own network \
                 are taken in",
                from.ip()
            );
            tracing::warn!("{text}");
            Err(Status::permission_denied(text))
        }
        Some(_) | None => Ok(()),
    }
}

/// Loopback, link-local and private addresses (RFC 1918, RFC 6598, RFC 4193).
fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let shared = a == 100 && (64..128).contains(&b);
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[tonic::async_trait]
impl ClusterRpc for ClusterService {
    async fn handshake(
        &self,
        request: Request<pb::HandshakeRequest>,
    ) -> Result<Response<pb::HandshakeResponse>, Status> {
        // Clients have no node id; where they come from is not asked.
        if request.get_ref().node_id != 0 {
            check_origin(&request)?;
        }
        self.core
            .peers()
            .answer_handshake(request.into_inner())
            .await
            .map(Response::new)
    }

    async fn formation(
        &self,
        request: Request<pb::FormationMessage>,
    ) -> Result<Response<pb::FormationMessage>, Status> {
        check_origin(&request)?;
        let request = request.into_inner();
        let message = codec::decode(&request.message)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let answer = self.core.formation_message(message).await;
        let answer = answer.ok_or_else(|| Status::unavailable("no answer"))?;
        let bytes = codec::encode(&answer).map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(pb::FormationMessage {
            cluster_name: answer.sender.cluster_name,
            from: answer.sender.node_id,
            message: bytes.into(),
        }))
    }

    async fn join(
        &self,
        request: Request<pb::JoinRequest>,
    ) -> Result<Response<pb::JoinResponse>, Status> {
        check_origin(&request)?;
        let result = Some(self.join(request.into_inner()).await);
        Ok(Response::new(pb::JoinResponse { result }))
    }

    async fn remove(
        &self,
        request: Request<pb::RemoveRequest>,
    ) -> Result<Response<pb::RemoveResponse>, Status> {
        check_origin(&request)?;
        let result = Some(self.remove(request.into_inner()).await);
        Ok(Response::new(pb::RemoveResponse { result }))
    }

    async fn status(
        &self,
        _request: Request<pb::StatusRequest>,
    ) -> Result<Response<pb::StatusResponse>, Status> {
        let status = serde_json::to_string(&self.core.status())
            .map_err(|error| Status::internal(error.to_string()))?;
        let figures = serde_json::to_string(&self.core.figures())
            .map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(pb::StatusResponse { status, figures }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_network_is_let_in_without_a_token() {
        for own in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.0.1",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_private(own.parse().expect("an address")), "{own}");
        }
        for foreign in [
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "2001:db8::1",
            "::ffff:8.8.8.8",
        ] {
            assert!(
                !is_private(foreign.parse().expect("an address")),
                "{foreign}"
            );
        }
    }
}
