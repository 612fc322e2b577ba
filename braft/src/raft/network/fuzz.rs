//! Messages of peers, for tests that feed the readers anything.

use prost::Message;

use super::convert;
use crate::wire::v1 as pb;

/// Reads bytes as each message that a peer sends; whether one of them was sound.
pub(crate) fn read(bytes: &[u8]) -> bool {
    // A message that came whole is taken apart even if it is none of ours.
    let append = pb::AppendRequest::decode(bytes).map(convert::append_from);
    let appended = pb::AppendResponse::decode(bytes).map(convert::appended_from);
    let vote = pb::VoteRequest::decode(bytes).map(convert::vote_request_from);
    let voted = pb::VoteResponse::decode(bytes).map(convert::vote_response_from);
    let transfer = pb::TransferLeaderRequest::decode(bytes).map(convert::transfer_from);
    let others = [
        pb::SnapshotOffer::decode(bytes).is_ok(),
        pb::SnapshotChunk::decode(bytes).is_ok(),
        pb::ProposeRequest::decode(bytes).is_ok(),
        pb::JoinRequest::decode(bytes).is_ok(),
        pb::RemoveRequest::decode(bytes).is_ok(),
    ];
    let shaken = pb::HandshakeRequest::decode(bytes)
        .map(|request| super::versions_from(request.about.as_ref()));
    let is_sound = [
        matches!(append, Ok(Ok(_))),
        matches!(appended, Ok(Ok(_))),
        matches!(vote, Ok(Ok(_))),
        matches!(voted, Ok(Ok(_))),
        matches!(transfer, Ok(Ok(_))),
        shaken.is_ok(),
        others.contains(&true),
    ];
    is_sound.contains(&true)
}

/// One of each.
pub(crate) fn messages() -> Vec<Vec<u8>> {
    let vote = pb::Vote {
        term: 3,
        voted_for: Some(7),
        committed: true,
    };
    let id = pb::LogId { term: 2, index: 9 };
    let members = crate::member::Members::default();
    let members = crate::codec::encode(&members).unwrap_or_default();
    let entry = |kind, payload: Vec<u8>| pb::Entry {
        term: 3,
        index: 10,
        kind,
        payload: payload.into(),
    };
    let append = pb::AppendRequest {
        envelope: Some(pb::Envelope::default()),
        vote: Some(vote),
        prev: Some(id),
        leader_commit: Some(id),
        entries: vec![entry(0, vec![]), entry(1, vec![1; 40]), entry(2, members)],
    };
    let appended = pb::AppendResponse {
        result: Some(pb::append_response::Result::Conflict(id)),
        ..pb::AppendResponse::default()
    };
    let asked = pb::VoteRequest {
        envelope: Some(pb::Envelope::default()),
        vote: Some(vote),
        last: Some(id),
        leadership_transfer: true,
    };
    let voted = pb::VoteResponse {
        vote: Some(vote),
        granted: true,
        last: Some(id),
        ..pb::VoteResponse::default()
    };
    let transfer = pb::TransferLeaderRequest {
        envelope: Some(pb::Envelope::default()),
        from_leader: Some(vote),
        to_node: 7,
        last: Some(id),
    };
    let handshake = pb::HandshakeRequest {
        about: Some(pb::About::default()),
        ..pb::HandshakeRequest::default()
    };
    vec![
        append.encode_to_vec(),
        appended.encode_to_vec(),
        asked.encode_to_vec(),
        voted.encode_to_vec(),
        transfer.encode_to_vec(),
        handshake.encode_to_vec(),
        pb::ProposeRequest::default().encode_to_vec(),
    ]
}
