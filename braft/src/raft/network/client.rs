//! Sending raft messages to one peer.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, ready};

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError,
    StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::{SnapshotOf, VoteOf};
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;
use tonic::transport::Channel;

use super::super::types::TypeConfig;
use super::acks::Acks;
use super::given::Given;
use super::heartbeats::Heartbeats;
use super::held::{Held, Holds};
use super::peers::{Lane, Peers, Progress};
use super::streams::{self, Streams};
use super::{MAX_RAFT_MESSAGE_BYTES, convert, snapshot};
use crate::member::NodeInfo;
use crate::metrics::PeerFigures;
use crate::storage::snapshot::SnapshotFile;
use crate::wire::v1 as pb;
use crate::wire::v1::raft_client::RaftClient;

type RpcError = RPCError<TypeConfig>;

/// Makes clients of peers.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) peers: Arc<Peers>,
    pub(crate) acks: Arc<Acks>,
    /// What waits a moment on its way to the followers.
    pub(crate) holds: Arc<Holds>,
    pub(crate) given: Arc<Given>,
    pub(crate) streams: Arc<Streams>,
    /// How this node's state differs from the majority's, if it does.
    pub(crate) quarantine: watch::Receiver<Option<String>>,
}

/// Speaks to one peer on one lane.
#[derive(Debug)]
pub(crate) struct PeerClient {
    peers: Arc<Peers>,
    acks: Arc<Acks>,
    quarantine: watch::Receiver<Option<String>>,
    target: u64,
    committed_address: String,
    lane: Lane,
    figures: Arc<PeerFigures>,
    heartbeats: Heartbeats,
    holds: Arc<Holds>,
    given: Arc<Given>,
    streams: Arc<Streams>,
}

impl Network {
    fn client(&self, target: u64, node: &NodeInfo, lane: Lane) -> PeerClient {
        let committed_address = node.address.clone();
        PeerClient {
            peers: self.peers.clone(),
            figures: self.peers.figures().of(target),
            acks: self.acks.clone(),
            quarantine: self.quarantine.clone(),
            target,
            committed_address,
            lane,
            heartbeats: Heartbeats::default(),
            holds: self.holds.clone(),
            given: self.given.clone(),
            streams: self.streams.clone(),
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = PeerClient;

    async fn new_client(&mut self, target: u64, node: &NodeInfo) -> PeerClient {
        self.client(target, node, Lane::Append)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &NodeInfo) -> PeerClient {
        self.client(target, node, Lane::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &NodeInfo) -> PeerClient {
        self.client(target, node, Lane::Snapshot)
    }
}

// Unreachable, not a network error, for whatever failed: openraft then backs off instead of
// retrying hot.
fn unreachable(error: impl ToString) -> Unreachable<TypeConfig> {
    Unreachable::from_string(error.to_string())
}

/// Why a stream was ended from here.
fn held_up() -> RpcError {
    RPCError::Unreachable(unreachable(
        "it holds up too much of this node's log, and needs a snapshot",
    ))
}

fn unreadable(error: convert::ReadMessageError) -> RpcError {
    RPCError::Network(NetworkError::from_string(error))
}

impl PeerClient {
    pub(super) fn peers(&self) -> Arc<Peers> {
        self.peers.clone()
    }

    pub(super) async fn connect(&self) -> Result<RaftClient<Channel>, Unreachable<TypeConfig>> {
        Ok(self.connect_to().await?.0)
    }

    /// A client, and the incarnation of the peer that it speaks to.
    async fn connect_to(&self) -> Result<(RaftClient<Channel>, u64), Unreachable<TypeConfig>> {
        let line = self
            .peers
            .dial(self.target, &self.committed_address, self.lane)
            .await
            .inspect_err(|_| self.figures.note_failure())
            .map_err(unreachable)?;
        let client = RaftClient::new(line.channel)
            .max_decoding_message_size(MAX_RAFT_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_RAFT_MESSAGE_BYTES);
        Ok((client, line.incarnation))
    }

    pub(super) fn envelope(&self) -> pb::Envelope {
        self.peers.envelope(self.target)
    }

    pub(super) fn failed(&self, status: &Status) -> Unreachable<TypeConfig> {
        self.figures.note_failure();
        self.peers.hang_up(self.target, self.lane);
        unreachable(format!("{}: {}", status.code(), status.message()))
    }

    /// One request and its answer within the time limit.
    async fn unary<T>(
        &self,
        option: &RPCOption,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, RpcError> {
        match tokio::time::timeout(option.hard_ttl(), call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(RPCError::Unreachable(self.failed(&status))),
            Err(_) => {
                self.figures.note_failure();
                self.peers.hang_up(self.target, self.lane);
                let text = format!("no answer within {} ms", option.hard_ttl().as_millis());
                Err(RPCError::Unreachable(unreachable(text)))
            }
        }
    }
}

impl RaftNetworkV2<TypeConfig> for PeerClient {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RpcError> {
        let mut heartbeats = std::mem::take(&mut self.heartbeats);
        let client = self.connect().await?;
        let term = request.vote.leader_id.term;
        let request = convert::append_to(request, Some(self.envelope()));
        let sent = Instant::now();
        let response = self.unary(&option, heartbeats.ask(client, request)).await?;
        self.heartbeats = heartbeats;
        self.peers
            .walls()
            .told(self.target, response.wall_clock, sent);
        self.figures.heartbeats.record(sent.elapsed());
        let result = convert::appended_from(response).map_err(unreadable)?;
        if !matches!(result, Err(StreamAppendError::HigherVote(_))) {
            self.acks.answered(term, self.target, sent);
        }
        Ok(result.into())
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RpcError>>, RpcError>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        if self.lane == Lane::Heartbeat {
            return openraft::network::stream_append_sequential(self, input, option);
        }
        let mut input = input;
        let number = self.streams.number();
        Box::pin(async move {
            // The back-off after an error is spent inside the input: a peer that is down would be
            // dialed without pause if the dialing came before the first request.
            let Some(head) = input.next().await else {
                return Ok(futures_util::stream::empty().boxed());
            };
            let mut end = self.streams.begin(self.target, number);
            let (mut client, incarnation) = self.connect_to().await?;
            let envelope = self.envelope();
            let vote_term = head.vote.leader_id.term;
            let first = AtomicBool::new(true);
            let figures = self.figures.clone();
            let (entries, hold) = streams::held(Held::new(input, self.holds.clone()));
            let requests = futures_util::stream::iter([head])
                .chain(entries)
                .map(move |request| {
                    figures.note_append();
                    let first = first.swap(false, Ordering::Relaxed);
                    convert::append_to(request, first.then(|| envelope.clone()))
                });
            let mut responses = tokio::select! {
                biased;
                opened = client.append(requests) => match opened {
                    Ok(responses) => responses.into_inner(),
                    Err(status) => return Err(RPCError::Unreachable(self.failed(&status))),
                },
                () = poll_fn(|context| end.poll(context)) => return Err(held_up()),
            };
            let this = &*self;
            let mut hold = Some(hold);
            let results = futures_util::stream::poll_fn(move |context| {
                if hold.is_none() {
                    return Poll::Ready(None);
                }
                if end.poll(context).is_ready() {
                    hold = None;
                    return Poll::Ready(Some(Err(held_up())));
                }
                let response = ready!(responses.poll_next_unpin(context));
                // Before raft learns of the end, and begins again.
                drop(hold.take_if(|_| !matches!(response, Some(Ok(_)))));
                Poll::Ready(response.map(|response| match response {
                    Ok(response) => {
                        let result = convert::appended_from(response).map_err(unreadable)?;
                        if let Ok(Some(last)) = &result {
                            let progress = Progress {
                                vote_term,
                                last_index: last.index,
                            };
                            this.peers
                                .note_acknowledged(this.target, incarnation, progress);
                        }
                        Ok(result)
                    }
                    Err(status) => Err(RPCError::Unreachable(this.failed(&status))),
                }))
            });
            Ok(results.boxed())
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let (mut client, incarnation) = self.connect_to().await?;
        let request = convert::vote_request_to(request, self.envelope());
        let sent = Instant::now();
        let response = self.unary(&option, client.vote(request)).await?;
        self.peers
            .walls()
            .told(self.target, response.wall_clock, sent);
        let response = convert::vote_response_from(response).map_err(unreadable)?;
        if response.vote_granted {
            let granted = Progress {
                vote_term: response.vote.leader_id.term,
                last_index: 0,
            };
            self.peers
                .note_acknowledged(self.target, incarnation, granted);
        }
        Ok(response)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let mut client = self.connect().await?;
        let request = convert::vote_request_to(request, self.envelope());
        let response = self.unary(&option, client.pre_vote(request)).await?;
        convert::vote_response_from(response).map_err(unreadable)
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, SnapshotFile>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        if self.quarantine.borrow().is_some() {
            // Another one will lead in a moment, and send its own.
            return Err(unreachable("this node has diverged: nobody is given its state").into());
        }
        let last = snapshot.meta.last_log_id.map_or(0, |id| id.index());
        let _sending = self.given.begin(self.target, last);
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = snapshot::send(self, vote, snapshot.snapshot) => sent,
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        let mut client = self.connect().await?;
        let message = convert::transfer_to(&request, self.envelope());
        let response = self.unary(&option, client.transfer_leader(message)).await?;
        if response.accepted {
            return Ok(Ok(()));
        }
        let actual = convert::vote_from(response.vote).map_err(unreadable)?;
        let expected = *request.from_leader();
        Ok(Err(openraft::raft::TransferLeaderError::VoteChanged {
            expected,
            actual,
        }))
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::super::peers::{Identity, Timers};
    use super::*;
    use crate::net::{Dialer, Gate};

    /// A network that is down, and counts who tries.
    #[derive(Debug, Default)]
    struct Down(AtomicUsize);

    impl Gate for Down {
        fn is_open(&self, _to: &str) -> bool {
            self.0.fetch_add(1, Ordering::Relaxed);
            false
        }
    }

    /// openraft spends its back-off before the first request of a stream: dialing must wait for it.
    #[tokio::test]
    async fn a_peer_that_is_down_is_not_dialed_before_there_is_something_to_send() {
        let down = Arc::new(Down::default());
        let me = Identity {
            cluster_name: "test".to_owned(),
            node_id: 1,
            incarnation: 1,
            address: "127.0.0.1:1".to_owned(),
            timers: Timers {
                heartbeat_ms: 100,
                election_min_ms: 300,
                election_max_ms: 600,
            },
            ..Identity::default()
        };
        let peers = Arc::new(Peers::new(me, Dialer::gated(down.clone()), Some(1)));
        let node = NodeInfo {
            address: "127.0.0.1:2".to_owned(),
            ..NodeInfo::default()
        };
        let acks = Arc::default();
        let quarantine = watch::channel(None).1;
        let network = Network {
            peers,
            acks,
            holds: Arc::default(),
            given: Arc::default(),
            streams: Arc::default(),
            quarantine,
        };
        let mut client = network.client(2, &node, Lane::Append);
        let option = RPCOption::new(Duration::from_secs(1));
        let silent = futures_util::stream::pending::<AppendEntriesRequest<TypeConfig>>();
        let mut opening = client.stream_append(silent, option.clone());
        assert!(futures_util::poll!(&mut opening).is_pending());
        drop(opening);
        assert_eq!(down.0.load(Ordering::Relaxed), 0);
        let request = AppendEntriesRequest {
            vote: openraft::vote::RaftVote::from_leader_id(
                super::super::super::types::LeaderId {
                    term: 1,
                    voted_for: 1,
                },
                true,
            ),
            prev_log_id: None,
            entries: Vec::new(),
            leader_commit: None,
        };
        let opened = client.stream_append(futures_util::stream::iter([request]), option);
        assert!(opened.await.is_err());
        assert_eq!(down.0.load(Ordering::Relaxed), 1);
    }
}
