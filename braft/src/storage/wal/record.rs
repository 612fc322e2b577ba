//! How batches and records are laid out in a segment.
//!
//! A batch is what one write and one sync carry: a header, then records back to back. All
//! numbers are little-endian.
//!
//! | batch header | bytes | | record header | bytes |
//! |---|---|---|---|---|
//! | magic | 4 | | length of the payload | 4 |
//! | CRC of what follows in the header | 4 | | CRC of header and payload | 4 |
//! | length of the records | 4 | | type | 1 |
//! | flags | 4 | | the entry's kind, or whether an id follows | 1 |
//! | sequence number | 8 | | zero | 2 |
//! | last sequence number known synced before | 8 | | term | 8 |
//! | commit index: term, index | 16 | | index | 8 |
//!
//! Every CRC starts from a seed made of the log's random salt, the segment and the batch's
//! offset. So bytes of another log, an earlier life of a recycled file, or a client's payload
//! that looks like a batch are never taken for one.

use bytes::Bytes;

use super::types::LogEntry;
use super::types::LogId;

/// Length of a batch header.
pub(super) const BATCH_HEADER: usize = 48;
/// Length of a record header.
pub(super) const RECORD_HEADER: usize = 28;
/// First bytes of each batch.
pub(super) const BATCH_MAGIC: [u8; 4] = *b"\xb7brB";

/// The batch header's commit index is set.
const HAS_COMMITTED: u32 = 1;
/// Nothing follows in this segment; the next batch opens the next one.
const SEAL: u32 = 2;
/// Written when the log was closed in good order.
const CLEAN: u32 = 4;

const ENTRY: u8 = 1;
const TRUNCATE: u8 = 2;
const PURGE: u8 = 3;

/// What a batch header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BatchHeader {
    /// Bytes of records behind the header.
    pub(super) body: u32,
    /// Counts batches over the life of the log, without holes. A seal bears the number of the
    /// batch that opens the next segment.
    pub(super) sequence: u64,
    /// All batches up to this one were known to be synced when this one was written.
    pub(super) synced: u64,
    /// The commit index at that time.
    pub(super) committed: Option<LogId>,
    /// This is the segment's end.
    pub(super) seal: bool,
    /// The log was closed here.
    pub(super) clean: bool,
}

/// One record of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Record {
    /// An entry, following the one before it.
    Entry(LogEntry),
    /// Entries after this one are void.
    Truncate(Option<LogId>),
    /// Entries up to this one are void.
    Purge(LogId),
}

/// The seed of all CRCs of one batch.
pub(super) fn seed(salt: u64, segment: u64, offset: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&segment.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.finalize()
}

fn crc(seed: u32, parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// Reads a little-endian number; the caller has checked the length.
pub(super) fn le_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes were sliced"))
}

/// Reads a little-endian number; the caller has checked the length.
pub(super) fn le_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes were sliced"))
}

impl BatchHeader {
    /// Writes the header into the first [`BATCH_HEADER`] bytes of `out`.
    pub(super) fn encode(&self, out: &mut [u8], seed: u32) {
        let committed = self.committed.unwrap_or(LogId { term: 0, index: 0 });
        let mut flags = 0;
        for (flag, set) in [
            (HAS_COMMITTED, self.committed.is_some()),
            (SEAL, self.seal),
            (CLEAN, self.clean),
        ] {
            flags |= if set { flag } else { 0 };
        }
        out[0..4].copy_from_slice(&BATCH_MAGIC);
        out[8..12].copy_from_slice(&self.body.to_le_bytes());
        out[12..16].copy_from_slice(&flags.to_le_bytes());
        out[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        out[24..32].copy_from_slice(&self.synced.to_le_bytes());
        out[32..40].copy_from_slice(&committed.term.to_le_bytes());
        out[40..48].copy_from_slice(&committed.index.to_le_bytes());
        let crc = crc(seed, &[&out[8..BATCH_HEADER]]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads a header, `None` if these bytes are not a whole, undamaged one.
    pub(super) fn decode(bytes: &[u8], seed: u32) -> Option<Self> {
        if bytes.len() < BATCH_HEADER || bytes[0..4] != BATCH_MAGIC {
            return None;
        }
        if le_u32(bytes, 4) != crc(seed, &[&bytes[8..BATCH_HEADER]]) {
            return None;
        }
        let flags = le_u32(bytes, 12);
        let committed = LogId {
            term: le_u64(bytes, 32),
            index: le_u64(bytes, 40),
        };
        Some(Self {
            body: le_u32(bytes, 8),
            sequence: le_u64(bytes, 16),
            synced: le_u64(bytes, 24),
            committed: (flags & HAS_COMMITTED != 0).then_some(committed),
            seal: flags & SEAL != 0,
            clean: flags & CLEAN != 0,
        })
    }

    /// Length of the whole batch.
    pub(super) fn total_bytes(&self) -> u64 {
        BATCH_HEADER as u64 + u64::from(self.body)
    }
}

fn push(out: &mut Vec<u8>, seed: u32, ty: u8, kind: u8, id: LogId, payload: &[u8]) {
    let mut header = [0; RECORD_HEADER];
    let bytes = u32::try_from(payload.len()).expect("an entry fits into a segment");
    header[0..4].copy_from_slice(&bytes.to_le_bytes());
    header[8] = ty;
    header[9] = kind;
    header[12..20].copy_from_slice(&id.term.to_le_bytes());
    header[20..28].copy_from_slice(&id.index.to_le_bytes());
    let crc = crc(seed, &[&header[0..4], &header[8..], payload]);
    header[4..8].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(payload);
}

/// Appends an entry's record.
pub(super) fn push_entry(out: &mut Vec<u8>, seed: u32, entry: &LogEntry) {
    push(out, seed, ENTRY, entry.kind, entry.id, &entry.payload);
}

/// Appends a truncation's record.
pub(super) fn push_truncate(out: &mut Vec<u8>, seed: u32, last: Option<LogId>) {
    let id = last.unwrap_or(LogId { term: 0, index: 0 });
    push(out, seed, TRUNCATE, u8::from(last.is_some()), id, &[]);
}

/// Appends a purge's record.
pub(super) fn push_purge(out: &mut Vec<u8>, seed: u32, upto: LogId) {
    push(out, seed, PURGE, 1, upto, &[]);
}

/// Reads all records of a batch; `Err` holds the offset of the first one that is damaged.
pub(super) fn decode_records(body: &Bytes, seed: u32) -> Result<Vec<Record>, usize> {
    let mut records = Vec::new();
    let mut at = 0;
    while at < body.len() {
        let (record, bytes) = decode_record(body, at, seed).ok_or(at)?;
        records.push(record);
        at += bytes;
    }
    Ok(records)
}

fn decode_record(body: &Bytes, at: usize, seed: u32) -> Option<(Record, usize)> {
    let header = body.get(at..at.checked_add(RECORD_HEADER)?)?;
    let start = at + RECORD_HEADER;
    let end = start.checked_add(le_u32(header, 0) as usize)?;
    let payload = body.get(start..end)?;
    if le_u32(header, 4) != crc(seed, &[&header[0..4], &header[8..], payload]) {
        return None;
    }
    let id = LogId {
        term: le_u64(header, 12),
        index: le_u64(header, 20),
    };
    let record = match (header[8], header[9]) {
        (ENTRY, kind) => Record::Entry(LogEntry {
            id,
            kind,
            payload: body.slice(start..end),
        }),
        (TRUNCATE, some) => Record::Truncate((some != 0).then_some(id)),
        (PURGE, _) => Record::Purge(id),
        _ => return None,
    };
    Some((record, end - at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_reads_back_as_it_was_written() {
        let entry = LogEntry {
            id: LogId { term: 3, index: 9 },
            kind: 7,
            payload: Bytes::from_static(b"payload"),
        };
        let seed = seed(1, 2, 3);
        let mut body = Vec::new();
        push_entry(&mut body, seed, &entry);
        push_truncate(&mut body, seed, None);
        push_truncate(&mut body, seed, Some(entry.id));
        push_purge(&mut body, seed, entry.id);
        let records = decode_records(&Bytes::from(body), seed);
        let expected = vec![
            Record::Entry(entry.clone()),
            Record::Truncate(None),
            Record::Truncate(Some(entry.id)),
            Record::Purge(entry.id),
        ];
        assert_eq!(records, Ok(expected));

        let header = BatchHeader {
            body: 5,
            sequence: 6,
            synced: 4,
            committed: Some(entry.id),
            seal: false,
            clean: true,
        };
        let mut bytes = [0; BATCH_HEADER];
        header.encode(&mut bytes, seed);
        assert_eq!(BatchHeader::decode(&bytes, seed), Some(header));
    }

    #[test]
    fn bytes_of_another_place_are_not_a_batch() {
        let header = BatchHeader {
            body: 0,
            sequence: 6,
            synced: 4,
            committed: None,
            seal: false,
            clean: false,
        };
        let mut bytes = [0; BATCH_HEADER];
        header.encode(&mut bytes, seed(1, 2, 3));
        assert_eq!(BatchHeader::decode(&bytes, seed(2, 2, 3)), None);
        assert_eq!(BatchHeader::decode(&bytes, seed(1, 3, 3)), None);
        assert_eq!(BatchHeader::decode(&bytes, seed(1, 2, 4)), None);
    }
}
