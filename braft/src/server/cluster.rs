//! The gRPC service through which nodes meet: handshake, formation, joining, status.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::codec;
use crate::member::NodeInfo;
use crate::node::Core;
use crate::raft::{Change, Role};
use crate::wire::convert::cluster_id_to;
use crate::wire::v1 as pb;
use crate::wire::v1::cluster_server::{Cluster as ClusterRpc, ClusterServer};
use crate::wire::v1::join_response::Result as Joined;

/// The largest message of this service, in bytes.
const MAX_MESSAGE_BYTES: usize = 1 << 20;

pub(crate) struct ClusterService {
    core: Arc<Core>,
}

impl ClusterService {
    pub(crate) fn server(core: Arc<Core>) -> ClusterServer<ClusterService> {
        ClusterServer::new(ClusterService { core }).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    async fn join(&self, request: pb::JoinRequest) -> Joined {
        let name = self.core.cluster_name();
        if request.cluster_name != name {
            return Joined::Refused(format!(
                "this cluster is named {name:?}, the joiner wants {:?}; set BRAFT_CLUSTER",
                request.cluster_name
            ));
        }
        let Some(raft) = self.core.raft() else {
            return Joined::Later("this node is in no cluster yet".to_owned());
        };
        let view = raft.view();
        if view.role != Role::Leader {
            return match view.leader_info() {
                Some((_, leader)) => Joined::Leader(leader.address.clone()),
                None => Joined::Later("the cluster has no leader at this moment".to_owned()),
            };
        }
        let cluster_id = self
            .core
            .peers()
            .cluster_id()
            .expect("raft runs in a cluster");
        let info = NodeInfo {
            name: request.name,
            address: request.address,
            http_address: request.http_address,
        };
        let id = request.node_id;
        if view.members.members.nodes.get(&id) == Some(&info) {
            return Joined::Joined(cluster_id_to(cluster_id));
        }
        let change = Change::SetNode { id, info };
        match raft.change(change, view.members.log_id).await {
            Ok(()) => Joined::Joined(cluster_id_to(cluster_id)),
            Err(error) => Joined::Later(error.to_string()),
        }
    }
}

#[tonic::async_trait]
impl ClusterRpc for ClusterService {
    async fn handshake(
        &self,
        request: Request<pb::HandshakeRequest>,
    ) -> Result<Response<pb::HandshakeResponse>, Status> {
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
        let result = Some(self.join(request.into_inner()).await);
        Ok(Response::new(pb::JoinResponse { result }))
    }

    async fn status(
        &self,
        _request: Request<pb::StatusRequest>,
    ) -> Result<Response<pb::StatusResponse>, Status> {
        let status = serde_json::to_string(&self.core.status())
            .map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(pb::StatusResponse { status }))
    }
}
