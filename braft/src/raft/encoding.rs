//! Log entries as the log and the peers carry them: a kind and the bytes of a payload.

use bytes::Bytes;
use openraft::EntryPayload;

use super::types::{Batch, Entry, Payload, entry, members_of, membership_of, plain};
use crate::codec;
use crate::member::Members;
#[cfg(feature = "cli")]
use crate::storage::wal::{LogEntry, LogId};

const KIND_BLANK: u8 = 0;
const KIND_BATCH: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

/// An entry from disk or from a peer cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeEntryError {
    #[error("log entry {index} has unknown kind {kind}: it was written by a newer braft")]
    UnknownKind { index: u64, kind: u32 },
    #[error("the membership in log entry {index} cannot be read: {reason}")]
    Membership { index: u64, reason: String },
}

/// An entry as (term, index, kind, payload); a batch is shared, not copied.
pub(crate) fn encode(entry: &Entry) -> (u64, u64, u8, Bytes) {
    let (term, index) = plain(&entry.log_id);
    let (kind, payload) = match &entry.payload {
        EntryPayload::Blank => (KIND_BLANK, Bytes::new()),
        EntryPayload::Normal(batch) => (KIND_BATCH, batch.0.clone()),
        EntryPayload::Membership(membership) => {
            let bytes = codec::encode(&members_of(membership))
                .expect("numbers, strings and maps always have a MessagePack form");
            (KIND_MEMBERSHIP, bytes.into())
        }
    };
    (term, index, kind, payload)
}

/// The entry that [`encode`] took apart.
pub(crate) fn decode(
    term: u64,
    index: u64,
    kind: u32,
    bytes: Bytes,
) -> Result<Entry, DecodeEntryError> {
    let payload = match u8::try_from(kind) {
        Ok(KIND_BLANK) => Payload::Blank,
        Ok(KIND_BATCH) => Payload::Normal(Batch(bytes)),
        Ok(KIND_MEMBERSHIP) => {
            let failed = |reason| DecodeEntryError::Membership { index, reason };
            let members: Members =
                codec::decode(&bytes).map_err(|error| failed(error.to_string()))?;
            let membership = membership_of(&members)
                .ok_or_else(|| failed("a voter is not among its nodes".to_owned()))?;
            Payload::Membership(membership)
        }
        _ => return Err(DecodeEntryError::UnknownKind { index, kind }),
    };
    Ok(entry(term, index, payload))
}

/// What a log entry holds, for whoever looks at a log without a node.
#[cfg(feature = "cli")]
pub(crate) enum Content {
    /// Nothing: the first entry of a term, mostly.
    Blank,
    /// Items, for [`crate::entry::EntryReader`].
    Batch(Bytes),
    Members(Members),
}

/// What an entry from a disk holds.
#[cfg(feature = "cli")]
pub(crate) fn content(stored: &LogEntry) -> Result<Content, DecodeEntryError> {
    let LogEntry { id, kind, payload } = stored;
    let decoded = decode(id.term, id.index, u32::from(*kind), payload.clone())?;
    Ok(match decoded.payload {
        EntryPayload::Blank => Content::Blank,
        EntryPayload::Normal(batch) => Content::Batch(batch.0),
        EntryPayload::Membership(membership) => Content::Members(members_of(&membership)),
    })
}

/// A membership as the entry of this log id.
#[cfg(feature = "cli")]
pub(crate) fn members_entry(id: LogId, members: &Members) -> LogEntry {
    let payload = codec::encode(members);
    LogEntry {
        id,
        kind: KIND_MEMBERSHIP,
        payload: payload
            .expect("numbers, strings and maps always have a MessagePack form")
            .into(),
    }
}
