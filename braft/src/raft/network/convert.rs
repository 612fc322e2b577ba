//! Raft messages on the wire and in openraft's types.

use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest,
    VoteRequest, VoteResponse,
};
use openraft::type_config::alias::LogIdOf;
use openraft::vote::RaftVote;

use super::super::encoding;
use super::super::types::{LeaderId, TypeConfig, Vote, log_id, plain};
use crate::wire::v1 as pb;

/// A message from a peer cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadMessageError {
    #[error("field {0} is missing")]
    Missing(&'static str),
    #[error(transparent)]
    Entry(#[from] encoding::DecodeEntryError),
}

type Read<T> = Result<T, ReadMessageError>;

fn need<T>(field: Option<T>, name: &'static str) -> Read<T> {
    field.ok_or(ReadMessageError::Missing(name))
}

pub(super) fn vote_to(vote: &Vote) -> pb::Vote {
    pb::Vote {
        term: vote.leader_id.term,
        voted_for: Some(vote.leader_id.voted_for),
        committed: vote.committed,
    }
}

pub(super) fn vote_from(vote: Option<pb::Vote>) -> Read<Vote> {
    let vote = need(vote, "vote")?;
    let voted_for = need(vote.voted_for, "vote.voted_for")?;
    let leader_id = LeaderId {
        term: vote.term,
        voted_for,
    };
    Ok(Vote::from_leader_id(leader_id, vote.committed))
}

pub(super) fn id_to(id: &LogIdOf<TypeConfig>) -> pb::LogId {
    let (term, index) = plain(id);
    pb::LogId { term, index }
}

pub(super) fn id_from(id: pb::LogId) -> LogIdOf<TypeConfig> {
    log_id(id.term, id.index)
}

pub(super) fn append_to(
    request: AppendEntriesRequest<TypeConfig>,
    envelope: Option<pb::Envelope>,
) -> pb::AppendRequest {
    let entries = request.entries.iter().map(|entry| {
        let (term, index, kind, payload) = encoding::encode(entry);
        pb::Entry {
            term,
            index,
            kind: u32::from(kind),
            payload,
        }
    });
    pb::AppendRequest {
        envelope,
        vote: Some(vote_to(&request.vote)),
        prev: request.prev_log_id.as_ref().map(id_to),
        leader_commit: request.leader_commit.as_ref().map(id_to),
        entries: entries.collect(),
    }
}

pub(super) fn append_from(request: pb::AppendRequest) -> Read<AppendEntriesRequest<TypeConfig>> {
    let entries = request
        .entries
        .into_iter()
        .map(|entry| encoding::decode(entry.term, entry.index, entry.kind, entry.payload));
    Ok(AppendEntriesRequest {
        vote: vote_from(request.vote)?,
        prev_log_id: request.prev.map(id_from),
        leader_commit: request.leader_commit.map(id_from),
        entries: entries.collect::<Result<_, _>>()?,
    })
}

pub(super) fn appended_to(result: StreamAppendResult<TypeConfig>) -> pb::AppendResponse {
    use pb::append_response::Result as Answer;
    pb::AppendResponse {
        result: Some(match result {
            Ok(last) => Answer::Matched(pb::Matched {
                last: last.as_ref().map(id_to),
            }),
            Err(StreamAppendError::Conflict(id)) => Answer::Conflict(id_to(&id)),
            Err(StreamAppendError::HigherVote(vote)) => Answer::HigherVote(vote_to(&vote)),
        }),
        wall_clock: 0,
    }
}

pub(super) fn appended_from(response: pb::AppendResponse) -> Read<StreamAppendResult<TypeConfig>> {
    use pb::append_response::Result as Answer;
    Ok(match need(response.result, "result")? {
        Answer::Matched(matched) => Ok(matched.last.map(id_from)),
        Answer::Conflict(id) => Err(StreamAppendError::Conflict(id_from(id))),
        Answer::HigherVote(vote) => Err(StreamAppendError::HigherVote(vote_from(Some(vote))?)),
    })
}

pub(super) fn vote_request_to(
    request: VoteRequest<TypeConfig>,
    envelope: pb::Envelope,
) -> pb::VoteRequest {
    pb::VoteRequest {
        envelope: Some(envelope),
        vote: Some(vote_to(&request.vote)),
        last: request.last_log_id.as_ref().map(id_to),
        leadership_transfer: request.leadership_transfer,
    }
}

pub(super) fn vote_request_from(request: pb::VoteRequest) -> Read<VoteRequest<TypeConfig>> {
    Ok(VoteRequest {
        vote: vote_from(request.vote)?,
        last_log_id: request.last.map(id_from),
        leadership_transfer: request.leadership_transfer,
    })
}

pub(super) fn vote_response_to(response: VoteResponse<TypeConfig>) -> pb::VoteResponse {
    pb::VoteResponse {
        vote: Some(vote_to(&response.vote)),
        granted: response.vote_granted,
        last: response.last_log_id.as_ref().map(id_to),
        wall_clock: 0,
    }
}

pub(super) fn vote_response_from(response: pb::VoteResponse) -> Read<VoteResponse<TypeConfig>> {
    let vote = vote_from(response.vote)?;
    Ok(VoteResponse::new(
        vote,
        response.last.map(id_from),
        response.granted,
    ))
}

pub(super) fn transfer_to(
    request: &TransferLeaderRequest<TypeConfig>,
    envelope: pb::Envelope,
) -> pb::TransferLeaderRequest {
    pb::TransferLeaderRequest {
        envelope: Some(envelope),
        from_leader: Some(vote_to(request.from_leader())),
        to_node: *request.to_node_id(),
        last: request.last_log_id().map(id_to),
    }
}

pub(super) fn transfer_from(
    request: pb::TransferLeaderRequest,
) -> Read<TransferLeaderRequest<TypeConfig>> {
    let vote = vote_from(request.from_leader)?;
    Ok(TransferLeaderRequest::new(
        vote,
        request.to_node,
        request.last.map(id_from),
    ))
}
