//! Frames of calls and answers, and messages with entries.

use bytes::Bytes;
use prost::Message;

use crate::raft::network;
use crate::request::{Action, Reply};
use crate::wire::convert::{action_from, action_to, answer_from, answer_to};
use crate::wire::v1 as pb;

/// What a call has left of its time.
const REMAINING_MS: u32 = 5_000;

/// A frame of commands, as a client sends it.
pub fn write_calls(service: &str, payloads: &[Bytes]) -> Bytes {
    let requests = (1..).zip(payloads).map(|(id, payload)| pb::CallRequest {
        id,
        service: service.to_owned(),
        payload: payload.clone(),
        remaining_ms: REMAINING_MS,
        operation: Some(action_to(Action::Command {
            session: 1 << 16,
            sequence: id,
            responded_to: id - 1,
            fence: None,
        })),
        ..pb::CallRequest::default()
    });
    let frame = pb::CallFrame {
        requests: requests.collect(),
        ..pb::CallFrame::default()
    };
    frame.encode_to_vec().into()
}

/// Reads it as a node does; how many calls it holds.
pub fn read_calls(frame: Bytes) -> usize {
    let frame = pb::CallFrame::decode(frame).expect("it was written by us");
    let actions = frame
        .requests
        .into_iter()
        .map(|request| action_from(request.operation));
    actions.filter(Result::is_ok).count()
}

/// A frame of answers, as a node sends it.
pub fn write_answers(answers: &[Bytes]) -> Bytes {
    let answers = (1..).zip(answers).map(|(id, answer)| {
        let reply = Reply {
            index: id,
            result: Ok(answer.clone()),
        };
        answer_to(id, reply)
    });
    let frame = pb::AnswerFrame {
        answers: answers.collect(),
        ..pb::AnswerFrame::default()
    };
    frame.encode_to_vec().into()
}

/// Reads it as a client does; how many answers it holds.
pub fn read_answers(frame: Bytes) -> usize {
    let frame = pb::AnswerFrame::decode(frame).expect("it was written by us");
    let replies = frame.answers.into_iter().map(answer_from);
    replies.filter(|(_, reply)| reply.result.is_ok()).count()
}

/// A message with these entries, as a leader sends it.
pub fn write_append(entries: &[Bytes]) -> Bytes {
    network::bench::write_append(entries)
}

/// Reads it as a follower does; how many entries it holds.
pub fn read_append(message: Bytes) -> usize {
    network::bench::read_append(message)
}
