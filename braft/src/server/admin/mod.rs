//! The gRPC service for operators. Whoever may call it can do anything to the cluster.

mod backup;

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use tonic::{Request, Response, Status};

use super::cluster::check_origin;
use crate::error::{Error, ErrorKind};
use crate::node::{AdminOf, Core};
use crate::raft::Role;
use crate::wire::admin as pb;
use crate::wire::admin::admin_server::{Admin, AdminServer};

/// The largest message of this service, in bytes.
const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// The longest that a removal waits where the caller does not say.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that it waits whatever the caller says.
const MAX_TIMEOUT: Duration = Duration::from_secs(600);

pub(crate) struct AdminService {
    core: Arc<Core>,
}

/// An error as it travels; [`crate::wire::admin`] has no type for it.
fn told(error: Error) -> Status {
    let text = error.message().to_owned();
    match error.kind() {
        ErrorKind::Rejected => Status::failed_precondition(text),
        ErrorKind::Busy => Status::resource_exhausted(text),
        ErrorKind::Unavailable => Status::unavailable(text),
        _ => Status::internal(text),
    }
}

fn json(value: &impl serde::Serialize) -> Result<String, Status> {
    serde_json::to_string(value).map_err(|error| Status::internal(error.to_string()))
}

impl AdminService {
    pub(crate) fn server(core: Arc<Core>) -> AdminServer<AdminService> {
        AdminServer::new(AdminService { core }).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The leader, if it is another node; a request that was passed on once goes no further.
    async fn leader_elsewhere(&self, passed_on: bool) -> Result<Option<AdminOf>, Status> {
        let raft = self.core.raft();
        let raft = raft.ok_or_else(|| Status::unavailable("this node is in no cluster yet"))?;
        if raft.view().role == Role::Leader {
            return Ok(None);
        }
        let leader = self
            .core
            .leader_address()
            .ok_or_else(|| Status::unavailable("the cluster has no leader at this moment"))?;
        if passed_on {
            return Err(Status::unavailable(format!(
                "this node leads no longer, and takes the one at {leader} for the leader; try again"
            )));
        }
        self.core.admin_of(&leader).await.map(Some).map_err(told)
    }
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn status(
        &self,
        request: Request<pb::StatusRequest>,
    ) -> Result<Response<pb::StatusResponse>, Status> {
        check_origin(&request)?;
        let nodes = if request.into_inner().all {
            self.core.all_statuses().await
        } else {
            vec![self.core.status()]
        };
        let nodes = nodes.iter().map(json).collect::<Result<_, _>>()?;
        Ok(Response::new(pb::StatusResponse { nodes }))
    }

    async fn add(
        &self,
        request: Request<pb::AddRequest>,
    ) -> Result<Response<pb::AddResponse>, Status> {
        check_origin(&request)?;
        let mut request = request.into_inner();
        if let Some(mut leader) = self.leader_elsewhere(request.passed_on).await? {
            request.passed_on = true;
            return leader.add(request).await;
        }
        let node_id = self.core.add(&request.address).await.map_err(told)?;
        Ok(Response::new(pb::AddResponse { node_id }))
    }

    async fn invite(
        &self,
        request: Request<pb::InviteRequest>,
    ) -> Result<Response<pb::InviteResponse>, Status> {
        check_origin(&request)?;
        let request = request.into_inner();
        let invited = self.core.invited(&request.member, &request.cluster_name);
        invited.map_err(told)?;
        Ok(Response::new(pb::InviteResponse {}))
    }

    async fn remove(
        &self,
        request: Request<pb::RemoveRequest>,
    ) -> Result<Response<pb::RemoveResponse>, Status> {
        check_origin(&request)?;
        let request = request.into_inner();
        let timeout = match request.timeout_ms {
            0 => REMOVE_TIMEOUT,
            ms => Duration::from_millis(ms.into()).min(MAX_TIMEOUT),
        };
        let id = request.node_id;
        // A leader is not removed while it leads: it hands over first.
        let leads = |core: &Core| core.raft().and_then(|raft| raft.view().leader) == Some(id);
        if leads(&self.core)
            && let Some(mut leader) = self.leader_elsewhere(false).await?
        {
            let hand_over = pb::TransferLeaderRequest {
                to: 0,
                passed_on: true,
            };
            leader.transfer_leader(hand_over).await?;
        }
        self.core.remove(id, timeout).await.map_err(told)?;
        Ok(Response::new(pb::RemoveResponse {}))
    }

    async fn transfer_leader(
        &self,
        request: Request<pb::TransferLeaderRequest>,
    ) -> Result<Response<pb::TransferLeaderResponse>, Status> {
        check_origin(&request)?;
        let mut request = request.into_inner();
        if let Some(mut leader) = self.leader_elsewhere(request.passed_on).await? {
            request.passed_on = true;
            return leader.transfer_leader(request).await;
        }
        let to = Some(request.to).filter(|to| *to != 0);
        let leader = self.core.transfer_leader(to).await.map_err(told)?;
        Ok(Response::new(pb::TransferLeaderResponse { leader }))
    }

    async fn snapshot(
        &self,
        request: Request<pb::SnapshotRequest>,
    ) -> Result<Response<pb::SnapshotResponse>, Status> {
        check_origin(&request)?;
        let file = self.core.snapshot_of_now().await.map_err(told)?;
        Ok(Response::new(pb::SnapshotResponse {
            term: file.last.term,
            index: file.last.index,
            bytes: file.bytes,
        }))
    }

    async fn get_settings(
        &self,
        request: Request<pb::GetSettingsRequest>,
    ) -> Result<Response<pb::GetSettingsResponse>, Status> {
        check_origin(&request)?;
        let settings = json(&self.core.settings().await.map_err(told)?)?;
        Ok(Response::new(pb::GetSettingsResponse { settings }))
    }

    async fn change_settings(
        &self,
        request: Request<pb::ChangeSettingsRequest>,
    ) -> Result<Response<pb::ChangeSettingsResponse>, Status> {
        check_origin(&request)?;
        let changes = request.into_inner().changes;
        let changed = self.core.change_settings(changes).await;
        changed.map_err(told)?;
        Ok(Response::new(pb::ChangeSettingsResponse {}))
    }

    async fn clear_panics(
        &self,
        request: Request<pb::ClearPanicsRequest>,
    ) -> Result<Response<pb::ClearPanicsResponse>, Status> {
        check_origin(&request)?;
        let request = request.into_inner();
        let cleared = self.core.clear_panics(&request.service, &request.method);
        cleared.await.map_err(told)?;
        Ok(Response::new(pb::ClearPanicsResponse {}))
    }

    async fn schema(
        &self,
        request: Request<pb::SchemaRequest>,
    ) -> Result<Response<pb::SchemaResponse>, Status> {
        check_origin(&request)?;
        let raft = self.core.raft();
        let raft = raft.ok_or_else(|| Status::unavailable("this node is in no cluster yet"))?;
        let services = raft.machine().schemas().into_iter();
        let services = services.map(|(name, schema)| pb::ServiceSchema { name, schema });
        Ok(Response::new(pb::SchemaResponse {
            services: services.collect(),
        }))
    }

    type BackupStream = BoxStream<'static, Result<pb::BackupResponse, Status>>;

    async fn backup(
        &self,
        request: Request<pb::BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        check_origin(&request)?;
        let file = self.core.snapshot_of_now().await.map_err(told)?;
        let pieces = backup::stream(&self.core, file).await.map_err(told)?;
        Ok(Response::new(Box::pin(pieces)))
    }
}
