//! Receiving raft messages.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, stream};
use openraft::async_runtime::WatchReceiver;
use openraft::raft::{StreamAppendError, StreamAppendResult, VoteResponse};
use tonic::{Request, Response, Status, Streaming};

use super::super::types::TypeConfig;
use super::super::{Raft, RaftNode, RaftSlot};
use super::peers::Peers;
use super::{MAX_RAFT_MESSAGE_BYTES, convert, healing, items, snapshot};
use crate::storage::snapshot::{SnapshotFile, SnapshotReceiver};
use crate::wire::convert::cluster_id_from;
use crate::wire::v1 as pb;
use crate::wire::v1::raft_server::{Raft as RaftRpc, RaftServer};
use crate::world;

/// The gRPC service of the raft protocol.
pub(crate) struct RaftService {
    slot: Arc<RaftSlot>,
    peers: Arc<Peers>,
}

impl RaftService {
    pub(crate) fn server(slot: Arc<RaftSlot>, peers: Arc<Peers>) -> RaftServer<RaftService> {
        RaftServer::new(RaftService { slot, peers })
            .max_decoding_message_size(MAX_RAFT_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_RAFT_MESSAGE_BYTES)
    }

    /// The raft that a message is for, if the sender may speak to it.
    fn raft(&self, envelope: Option<&pb::Envelope>) -> Result<&RaftNode, Status> {
        admitted(&self.slot, &self.peers, envelope)
    }
}

fn admitted<'a>(
    slot: &'a RaftSlot,
    peers: &Peers,
    envelope: Option<&pb::Envelope>,
) -> Result<&'a RaftNode, Status> {
    if let Some(envelope) = envelope
        && peers.cluster_id().is_none()
        && envelope.to == peers.me().node_id
        && let Ok(cluster_id) = cluster_id_from(&envelope.cluster_id)
    {
        slot.contacted(cluster_id);
        return Err(Status::unavailable(
            "this node is about to start; try again",
        ));
    }
    peers.admit(envelope)?;
    slot.get()
        .ok_or_else(|| Status::unavailable("this node is about to start; try again"))
}

fn receiver(node: &RaftNode, offer: &pb::SnapshotOffer) -> Result<SnapshotReceiver, Status> {
    let store = node.state_machine().snapshots();
    let receiver = world::blocking_here(|| store.receive(&offer.file_id, offer.total_bytes));
    receiver.map_err(internal)
}

/// The answer of a node that was restarted a moment ago: see `restart.rs`.
fn not_granted(node: &RaftNode) -> pb::VoteResponse {
    let vote = node.raft().metrics().borrow_watched().vote;
    convert::vote_response_to(VoteResponse::new(vote, None, false))
}

fn internal(error: impl std::fmt::Display) -> Status {
    Status::internal(error.to_string())
}

fn unreadable(error: convert::ReadMessageError) -> Status {
    Status::invalid_argument(error.to_string())
}

#[tonic::async_trait]
impl RaftRpc for RaftService {
    type FetchSnapshotStream = BoxStream<'static, Result<pb::SnapshotChunk, Status>>;

    async fn fetch_snapshot(
        &self,
        request: Request<pb::SnapshotRequest>,
    ) -> Result<Response<Self::FetchSnapshotStream>, Status> {
        let request = request.into_inner();
        let node = self.raft(request.envelope.as_ref())?;
        let file = healing::snapshot_for(node, request.min_index).await?;
        let offer = pb::SnapshotOffer {
            envelope: None,
            vote: None,
            file_id: file.file_id.clone(),
            total_bytes: file.bytes,
        };
        let chunks = snapshot::chunks(self.peers.clone(), file, offer, 0);
        Ok(Response::new(chunks.map(Ok).boxed()))
    }

    async fn propose(
        &self,
        request: Request<pb::ProposeRequest>,
    ) -> Result<Response<pb::ProposeResponse>, Status> {
        let request = request.into_inner();
        let node = self.raft(request.envelope.as_ref())?;
        items::propose(node, request).await?;
        Ok(Response::new(pb::ProposeResponse {}))
    }

    type AppendStream = BoxStream<'static, Result<pb::AppendResponse, Status>>;

    async fn append(
        &self,
        request: Request<Streaming<pb::AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let mut incoming = request.into_inner();
        let slot = self.slot.clone();
        let peers = self.peers.clone();
        // The answer's headers go out before the first message is read: a sender waits for them.
        let answers = stream::once(async move {
            let first = match incoming.message().await? {
                Some(first) => first,
                None => return Ok(stream::empty().boxed()),
            };
            let raft = admitted(&slot, &peers, first.envelope.as_ref())?
                .raft()
                .clone();
            let requests = stream::once(async { Ok(first) }).chain(incoming);
            Ok::<_, Status>(answer_appends(raft, peers, requests).boxed())
        });
        let answers = answers.flat_map(|answers| match answers {
            Ok(answers) => answers,
            Err(status) => stream::once(async { Err(status) }).boxed(),
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn heartbeat(
        &self,
        request: Request<pb::AppendRequest>,
    ) -> Result<Response<pb::AppendResponse>, Status> {
        let answer = answer_heartbeat(&self.slot, &self.peers, request.into_inner()).await;
        answer.map(Response::new)
    }

    type HeartbeatsStream = BoxStream<'static, Result<pb::AppendResponse, Status>>;

    async fn heartbeats(
        &self,
        request: Request<Streaming<pb::AppendRequest>>,
    ) -> Result<Response<Self::HeartbeatsStream>, Status> {
        let (slot, peers) = (self.slot.clone(), self.peers.clone());
        let answers = request.into_inner().then(move |request| {
            let (slot, peers) = (slot.clone(), peers.clone());
            async move { answer_heartbeat(&slot, &peers, request?).await }
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn vote(
        &self,
        request: Request<pb::VoteRequest>,
    ) -> Result<Response<pb::VoteResponse>, Status> {
        let request = request.into_inner();
        let node = self.raft(request.envelope.as_ref())?;
        let request = convert::vote_request_from(request).map_err(unreadable)?;
        if node.keeps_out_of_elections() && !request.leadership_transfer {
            return Ok(Response::new(not_granted(node)));
        }
        let response = node.raft().vote(request).await.map_err(internal)?;
        Ok(Response::new(pb::VoteResponse {
            wall_clock: self.peers.walls().to_wire(),
            ..convert::vote_response_to(response)
        }))
    }

    async fn pre_vote(
        &self,
        request: Request<pb::VoteRequest>,
    ) -> Result<Response<pb::VoteResponse>, Status> {
        let request = request.into_inner();
        let node = self.raft(request.envelope.as_ref())?;
        let request = convert::vote_request_from(request).map_err(unreadable)?;
        if node.keeps_out_of_elections() {
            return Ok(Response::new(not_granted(node)));
        }
        let response = node.raft().pre_vote(request).await.map_err(internal)?;
        Ok(Response::new(convert::vote_response_to(response)))
    }

    async fn transfer_leader(
        &self,
        request: Request<pb::TransferLeaderRequest>,
    ) -> Result<Response<pb::TransferLeaderResponse>, Status> {
        let request = request.into_inner();
        let node = self.raft(request.envelope.as_ref())?;
        let request = convert::transfer_from(request).map_err(unreadable)?;
        let from = *request.from_leader();
        if node.out_of_service().is_some() {
            return Ok(Response::new(pb::TransferLeaderResponse {
                accepted: false,
                vote: Some(convert::vote_to(&from)),
            }));
        }
        let response = node
            .raft()
            .handle_transfer_leader(request)
            .await
            .map_err(internal)?;
        let accepted = response.is_ok();
        Ok(Response::new(pb::TransferLeaderResponse {
            accepted,
            vote: Some(convert::vote_to(&from)),
        }))
    }

    async fn offer_snapshot(
        &self,
        request: Request<pb::SnapshotOffer>,
    ) -> Result<Response<pb::SnapshotOfferResponse>, Status> {
        let offer = request.into_inner();
        let node = self.raft(offer.envelope.as_ref())?;
        let _one_at_a_time = node.state_machine().receiving().await;
        let offset = receiver(node, &offer)?.offset();
        Ok(Response::new(pb::SnapshotOfferResponse {
            offset,
            higher_vote: None,
        }))
    }

    async fn send_snapshot(
        &self,
        request: Request<Streaming<pb::SnapshotChunk>>,
    ) -> Result<Response<pb::SnapshotResponse>, Status> {
        let mut chunks = request.into_inner();
        let Some(mut chunk) = chunks.message().await? else {
            return Err(Status::invalid_argument("a snapshot without chunks"));
        };
        let Some(offer) = chunk.offer.take() else {
            return Err(Status::invalid_argument("field offer is missing"));
        };
        let node = self.raft(offer.envelope.as_ref())?;
        let vote = convert::vote_from(offer.vote).map_err(unreadable)?;
        // A second sender waits, and finds the file there.
        let _one_at_a_time = node.state_machine().receiving().await;
        let mut receiver = receiver(node, &offer)?;
        loop {
            let written = world::blocking_here(|| receiver.write(chunk.offset, &chunk.data));
            written.map_err(internal)?;
            match chunks.message().await? {
                Some(next) => chunk = next,
                None => break,
            }
        }
        let file: SnapshotFile = world::blocking_here(|| receiver.finish()).map_err(internal)?;
        let snapshot = super::super::snapshot_reading::describe(file).map_err(internal)?;
        let response = node
            .raft()
            .install_full_snapshot(vote, snapshot)
            .await
            .map_err(internal)?;
        Ok(Response::new(pb::SnapshotResponse {
            vote: Some(convert::vote_to(&response.vote)),
        }))
    }
}

/// Each message is admitted on its own, as those are that come as calls.
async fn answer_heartbeat(
    slot: &RaftSlot,
    peers: &Peers,
    request: pb::AppendRequest,
) -> Result<pb::AppendResponse, Status> {
    let node = admitted(slot, peers, request.envelope.as_ref())?;
    let request = convert::append_from(request).map_err(unreadable)?;
    let prev = request.prev_log_id;
    let last = request.entries.last().map(|entry| entry.log_id).or(prev);
    let response = node
        .raft()
        .append_entries(request)
        .await
        .map_err(internal)?;
    let result: StreamAppendResult<TypeConfig> = response.into_stream_result(prev, last);
    note_heard(peers, &result);
    Ok(pb::AppendResponse {
        wall_clock: peers.walls().to_wire(),
        ..convert::appended_to(result)
    })
}

/// Whoever was not told of a higher vote is this node's leader.
fn note_heard(peers: &Peers, result: &StreamAppendResult<TypeConfig>) {
    if !matches!(result, Err(StreamAppendError::HigherVote(_))) {
        peers.note_leader_heard();
    }
}

/// Feeds appends to raft and turns its results into answers. A message that cannot be read ends
/// the stream with an error after the answers to those before it.
fn answer_appends(
    raft: Raft,
    peers: Arc<Peers>,
    requests: impl Stream<Item = Result<pb::AppendRequest, Status>> + Send + 'static,
) -> impl Stream<Item = Result<pb::AppendResponse, Status>> + Send + 'static {
    let (failed, failure) = tokio::sync::oneshot::channel();
    let mut failed = Some(failed);
    let readable = requests.scan((), move |(), request| {
        let request = request.and_then(|request| convert::append_from(request).map_err(unreadable));
        std::future::ready(match request {
            Ok(request) => Some(request),
            Err(status) => {
                if let Some(failed) = failed.take() {
                    drop(failed.send(status));
                }
                None
            }
        })
    });
    let results = raft.stream_append(readable).boxed();
    let answers = results.map(move |result| match result {
        Ok(result) => {
            note_heard(&peers, &result);
            Ok(convert::appended_to(result))
        }
        Err(fatal) => Err(internal(fatal)),
    });
    answers.chain(stream::once(failure).filter_map(|failure| async { failure.ok().map(Err) }))
}
