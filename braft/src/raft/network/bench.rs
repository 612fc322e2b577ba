//! Messages with entries, for benchmarks of what they cost.

use bytes::Bytes;
use openraft::raft::AppendEntriesRequest;
use openraft::vote::RaftVote;
use prost::Message;

use super::super::encoding;
use super::super::types::{LeaderId, TypeConfig, Vote, log_id};
use super::convert;
use crate::wire::v1 as pb;

const TERM: u64 = 3;
const BATCH: u32 = 1;

/// As a leader sends them.
pub(crate) fn write_append(entries: &[Bytes]) -> Bytes {
    let entries = (1..).zip(entries).map(|(index, batch)| {
        encoding::decode(TERM, index, BATCH, batch.clone()).expect("a batch is not looked into")
    });
    let leader_id = LeaderId {
        term: TERM,
        voted_for: 7,
    };
    let request = AppendEntriesRequest::<TypeConfig> {
        vote: Vote::from_leader_id(leader_id, true),
        prev_log_id: Some(log_id(TERM, 0)),
        leader_commit: Some(log_id(TERM, 0)),
        entries: entries.collect(),
    };
    let message = convert::append_to(request, Some(pb::Envelope::default()));
    message.encode_to_vec().into()
}

/// As a follower reads them; how many there were.
pub(crate) fn read_append(message: Bytes) -> usize {
    let message = pb::AppendRequest::decode(message).expect("it was written by us");
    let request = convert::append_from(message).expect("it was written by us");
    request.entries.len()
}
