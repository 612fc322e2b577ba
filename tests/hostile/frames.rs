//! Frames of calls made by hand, as no client of ours would send them.

use braft::testing::TestResult;
use futures_util::{StreamExt, stream};
use tokio::sync::oneshot;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use crate::outsider::within;

/// The frames as they are on the wire, written down a second time: they must not change unnoticed.
#[derive(Clone, PartialEq, prost::Message)]
struct CallFrame {
    #[prost(bytes = "vec", tag = "1")]
    cluster_id: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    requests: Vec<CallRequest>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CallRequest {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(string, tag = "2")]
    service: String,
    #[prost(bytes = "vec", tag = "3")]
    payload: Vec<u8>,
    #[prost(uint32, tag = "4")]
    remaining_ms: u32,
    #[prost(message, optional, tag = "6")]
    command: Option<Command>,
    #[prost(message, optional, tag = "8")]
    open_session: Option<OpenSession>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Command {
    #[prost(uint64, tag = "1")]
    pub(crate) session: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) sequence: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct OpenSession {}

#[derive(Clone, PartialEq, prost::Message)]
struct AnswerFrame {
    #[prost(message, repeated, tag = "2")]
    answers: Vec<CallAnswer>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CallAnswer {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub(crate) answer: Option<Vec<u8>>,
    #[prost(message, optional, tag = "4")]
    pub(crate) error: Option<CallError>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CallError {
    #[prost(int32, tag = "1")]
    pub(crate) kind: i32,
    #[prost(int32, tag = "2")]
    pub(crate) outcome: i32,
    #[prost(string, tag = "3")]
    pub(crate) message: String,
    #[prost(bool, tag = "5")]
    pub(crate) retry: bool,
}

const REMAINING_MS: u32 = 20_000;

impl CallRequest {
    /// A command of the counter, with this payload.
    pub(crate) fn command(id: u64, command: Command, payload: Vec<u8>) -> Self {
        CallRequest {
            id,
            service: "Counter".to_owned(),
            payload,
            remaining_ms: REMAINING_MS,
            command: Some(command),
            open_session: None,
        }
    }

    /// Asks for a session.
    pub(crate) fn open_session() -> Self {
        CallRequest {
            remaining_ms: REMAINING_MS,
            open_session: Some(OpenSession {}),
            ..CallRequest::default()
        }
    }
}

/// A connection of its own.
pub(crate) async fn connect(address: &str) -> TestResult<tonic::transport::Channel> {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"))?;
    Ok(endpoint.connect().await?)
}

/// The answers on one stream, which is open until this is dropped.
pub(crate) struct Stream {
    answers: tonic::Streaming<AnswerFrame>,
    _open: oneshot::Sender<()>,
}

impl Stream {
    /// Opens a stream and sends requests on it.
    pub(crate) async fn open(
        channel: tonic::transport::Channel,
        requests: Vec<CallRequest>,
    ) -> TestResult<Result<Self, Status>> {
        let frame = CallFrame {
            cluster_id: Vec::new(),
            requests,
        };
        let mut grpc = tonic::client::Grpc::new(channel);
        grpc.ready().await?;
        let path = PathAndQuery::from_static("/braft.v1.Calls/Call");
        // The stream stays open: who hangs up does not want an answer.
        let (open, closed) = oneshot::channel();
        let frames = stream::iter([frame]).chain(stream::pending().take_until(closed));
        let codec: ProstCodec<CallFrame, AnswerFrame> = ProstCodec::default();
        let opened = grpc.streaming(Request::new(frames), path, codec).await;
        Ok(opened.map(|opened| Stream {
            answers: opened.into_inner(),
            _open: open,
        }))
    }
}

/// Sends requests on one stream, and gathers an answer to each.
pub(crate) async fn send(address: &str, requests: Vec<CallRequest>) -> TestResult<Vec<CallAnswer>> {
    let count = requests.len();
    let mut stream = Stream::open(connect(address).await?, requests).await??;
    let mut answers = Vec::new();
    while answers.len() < count {
        let frame = within("an answer", stream.answers.message()).await??;
        answers.extend(frame.ok_or("the stream ended")?.answers);
    }
    Ok(answers)
}
