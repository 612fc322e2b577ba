//! Calls that no client of ours would write: frames made by hand, with payloads that cannot be
//! decoded.

use braft::testing::{Cluster, TestNode, TestResult};
use futures_util::{StreamExt, stream};
use tests::Counter;
use tonic::Request;
use tonic::codegen::http::uri::PathAndQuery;
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
struct CallRequest {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    service: String,
    #[prost(bytes = "vec", tag = "3")]
    payload: Vec<u8>,
    #[prost(uint32, tag = "4")]
    remaining_ms: u32,
    #[prost(message, optional, tag = "6")]
    command: Option<Command>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Command {
    #[prost(uint64, tag = "1")]
    session: u64,
    #[prost(uint64, tag = "2")]
    sequence: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AnswerFrame {
    #[prost(message, repeated, tag = "2")]
    answers: Vec<CallAnswer>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CallAnswer {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(bytes = "vec", optional, tag = "3")]
    answer: Option<Vec<u8>>,
    #[prost(message, optional, tag = "4")]
    error: Option<CallError>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CallError {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(int32, tag = "2")]
    outcome: i32,
    #[prost(string, tag = "3")]
    message: String,
}

const REJECTED: i32 = 1;
const NOT_APPLIED: i32 = 1;

/// MessagePack that is none, or none of a command.
fn undecodable() -> Vec<Vec<u8>> {
    // {"add": {"by": 1}} is a command; what follows comes close, or is far off.
    let command = b"\x81\xa3add\x81\xa2by\x01";
    vec![
        Vec::new(),
        vec![0xc1],
        command[..command.len() - 1].to_vec(),
        [&command[..], b"\x00"].concat(),
        b"\x81\xa3add\x81\xa2by\xa1x".to_vec(),
        b"\x81\xa3add\x82\xa2by\x01\xa2to\x01".to_vec(),
        b"\x81\xa3sub\x81\xa2by\x01".to_vec(),
        // Deeper than any stack.
        vec![0x91; 500_000],
        // A map that promises four thousand million entries, and a text of as many bytes.
        vec![0xdf, 0xff, 0xff, 0xff, 0xff],
        vec![0xdb, 0xff, 0xff, 0xff, 0xff],
    ]
}

/// Sends commands with these payloads on one stream, and gathers an answer to each.
async fn send(address: &str, payloads: Vec<Vec<u8>>) -> TestResult<Vec<CallAnswer>> {
    let count = payloads.len();
    let requests = payloads
        .into_iter()
        .zip(0..)
        .map(|(payload, id)| CallRequest {
            id,
            service: "Counter".to_owned(),
            payload,
            remaining_ms: 20_000,
            command: Some(Command {
                session: 1,
                sequence: 1 + id,
            }),
        });
    let frame = CallFrame {
        cluster_id: Vec::new(),
        requests: requests.collect(),
    };
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}"))?
        .connect()
        .await?;
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await?;
    let path = PathAndQuery::from_static("/braft.v1.Calls/Call");
    // The stream stays open: who hangs up does not want an answer.
    let frames = stream::iter([frame]).chain(stream::pending());
    let codec: ProstCodec<CallFrame, AnswerFrame> = ProstCodec::default();
    let mut incoming = grpc
        .streaming(Request::new(frames), path, codec)
        .await?
        .into_inner();
    let mut answers = Vec::new();
    while answers.len() < count {
        let frame = within("an answer", incoming.message()).await??;
        answers.extend(frame.ok_or("the stream ended")?.answers);
    }
    Ok(answers)
}

#[braft::test(nodes = 3)]
async fn a_command_that_cannot_be_decoded_is_rejected_and_stops_nobody(
    cluster: Cluster<Counter>,
) -> TestResult {
    let counter = cluster.client();
    counter.add(1).await??;
    for place in 0..3 {
        let address = cluster.address(TestNode(place));
        for answer in send(&address, undecodable()).await? {
            let error = answer.error.ok_or("it was answered")?;
            assert_eq!(error.kind, REJECTED, "payload {}: {error:?}", answer.id);
            assert_eq!(error.outcome, NOT_APPLIED, "payload {}", answer.id);
            assert!(!error.message.is_empty(), "payload {}", answer.id);
        }
    }
    assert_eq!(counter.add(1).await??, 2);
    cluster.converged().await?;
    Ok(())
}
