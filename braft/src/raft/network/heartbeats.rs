//! Heartbeats over one stream: a call of its own for each would cost more than the heartbeat. The reads
//! that a leader confirms are heartbeats, too.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Response, Status, Streaming};

use crate::wire::v1 as pb;
use crate::wire::v1::raft_client::RaftClient;

/// Heartbeats under way: raft sends the next once the last is answered.
const UNDER_WAY: usize = 1;

/// How heartbeats reach one peer. Whoever drops it in the middle of one, since no answer came in time,
/// begins anew: a late answer is never taken for that of the next.
#[derive(Debug, Default)]
pub(super) enum Heartbeats {
    /// There is no stream yet.
    #[default]
    New,
    Open {
        requests: mpsc::Sender<pb::AppendRequest>,
        answers: Box<Streaming<pb::AppendResponse>>,
    },
    /// The peer is older than the stream, and takes calls.
    Calls,
}

impl Heartbeats {
    /// Sends one, and waits for its answer.
    pub(super) async fn ask(
        &mut self,
        mut client: RaftClient<Channel>,
        request: pb::AppendRequest,
    ) -> Result<Response<pb::AppendResponse>, Status> {
        if let Heartbeats::New = self {
            *self = open(&mut client).await?;
        }
        let Heartbeats::Open { requests, answers } = self else {
            return client.heartbeat(request).await;
        };
        let ended = || Status::unavailable("the stream of heartbeats has ended");
        if requests.send(request).await.is_err() {
            return Err(answers.message().await.err().unwrap_or_else(ended));
        }
        let answer = answers.message().await?;
        answer.map(Response::new).ok_or_else(ended)
    }
}

async fn open(client: &mut RaftClient<Channel>) -> Result<Heartbeats, Status> {
    let (requests, sent) = mpsc::channel(UNDER_WAY);
    match client.heartbeats(ReceiverStream::new(sent)).await {
        Ok(answers) => Ok(Heartbeats::Open {
            requests,
            answers: Box::new(answers.into_inner()),
        }),
        Err(status) if status.code() == Code::Unimplemented => Ok(Heartbeats::Calls),
        Err(status) => Err(status),
    }
}
