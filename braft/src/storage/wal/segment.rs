//! A segment: a file of fixed length that holds a run of batches between zeros.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::record;
use super::record::BATCH_HEADER;
use super::record::BatchHeader;
use super::record::Record;
use super::record::le_u32;
use super::record::le_u64;
use super::types::LogId;
use crate::storage::fs::FsFile;

/// Length of the header at the start of each segment.
pub(super) const SEGMENT_HEADER: usize = 128;
/// The format this build writes, and the newest it reads.
pub(super) const FORMAT: u32 = 1;
/// Bytes at a segment's end that entries never use: on a full disk, truncations and above all
/// purges must still find room, or no space could ever be won back. The seal needs the last
/// [`BATCH_HEADER`] of them.
pub(super) const CONTROL_RESERVE: u64 = 2048;
/// Shortest segment that still has room for its header, the reserve and a few entries.
pub(super) const MIN_SEGMENT_BYTES: u64 = 8192;
/// Name of the zeroed file that waits to become the next segment.
pub(super) const SPARE: &str = "spare.tmp";

/// Zeros are written, and a segment's rest is inspected, in steps of this many bytes: small
/// enough not to hold up the syncs of the log on the same disk.
pub(super) const STEP_BYTES: usize = 1 << 20;
/// Batches are read in pieces of this size, or larger if one batch is.
const READ_BYTES: usize = 256 << 10;

const MAGIC: [u8; 8] = *b"braftwal";
const HAS_LAST: u32 = 1;
const HAS_PURGED: u32 = 2;
const HAS_COMMITTED: u32 = 4;

/// What a segment's header says: enough to start reading here when all before was purged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SegmentHeader {
    /// Random, the same in all segments of one log.
    pub(super) salt: u64,
    /// Counts segments over the life of the log.
    pub(super) number: u64,
    /// Length of the file.
    pub(super) bytes: u64,
    /// Sequence number of the first batch. All earlier ones were synced before this was written.
    pub(super) first_batch: u64,
    /// The last entry at that time.
    pub(super) last: Option<LogId>,
    /// The last purged entry at that time.
    pub(super) purged: Option<LogId>,
    /// The commit index at that time.
    pub(super) committed: Option<LogId>,
}

/// Why a segment's header cannot be read.
pub(super) enum HeaderError {
    /// Not what was written.
    Damaged,
    /// Written by a later version.
    Newer(u32),
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut out = [0; SEGMENT_HEADER];
        let mut flags = 0;
        out[0..8].copy_from_slice(&MAGIC);
        out[12..16].copy_from_slice(&FORMAT.to_le_bytes());
        for (at, number) in [
            (16, self.salt),
            (24, self.number),
            (32, self.bytes),
            (40, self.first_batch),
        ] {
            out[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        for (at, flag, id) in [
            (56, HAS_LAST, self.last),
            (72, HAS_PURGED, self.purged),
            (88, HAS_COMMITTED, self.committed),
        ] {
            if let Some(id) = id {
                flags |= flag;
                out[at..at + 8].copy_from_slice(&id.term.to_le_bytes());
                out[at + 8..at + 16].copy_from_slice(&id.index.to_le_bytes());
            }
        }
        out[48..52].copy_from_slice(&u32::to_le_bytes(flags));
        let crc = crc32fast::hash(&out[12..]);
        out[8..12].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// The place and meaning of magic, CRC and format number hold for all formats to come, so
    /// that a newer format can be told from damage.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        if bytes.len() < SEGMENT_HEADER
            || bytes[0..8] != MAGIC
            || le_u32(bytes, 8) != crc32fast::hash(&bytes[12..SEGMENT_HEADER])
        {
            return Err(HeaderError::Damaged);
        }
        let format = le_u32(bytes, 12);
        if format > FORMAT {
            return Err(HeaderError::Newer(format));
        }
        let flags = le_u32(bytes, 48);
        let id = |at, flag| {
            let (term, index) = (le_u64(bytes, at), le_u64(bytes, at + 8));
            (flags & flag != 0).then_some(LogId { term, index })
        };
        Ok(Self {
            salt: le_u64(bytes, 16),
            number: le_u64(bytes, 24),
            bytes: le_u64(bytes, 32),
            first_batch: le_u64(bytes, 40),
            last: id(56, HAS_LAST),
            purged: id(72, HAS_PURGED),
            committed: id(88, HAS_COMMITTED),
        })
    }
}

/// The file name of a segment.
pub(super) fn name(number: u64) -> String {
    format!("{number:016}.wal")
}

/// The number in a segment's file name.
pub(super) fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal")?;
    (digits.len() == 16).then(|| digits.parse().ok()).flatten()
}

/// An open segment. Readers share it and may outlive its removal from the log.
pub(super) struct Segment {
    pub(super) header: SegmentHeader,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn FsFile>,
}

impl Segment {
    pub(super) fn new(header: SegmentHeader, dir: &Path, file: Arc<dyn FsFile>) -> Arc<Self> {
        let path = dir.join(name(header.number));
        Arc::new(Self { header, path, file })
    }

    /// Where entries must stop.
    pub(super) fn entry_limit(&self) -> u64 {
        self.header.bytes - CONTROL_RESERVE
    }

    /// Where everything but the seal must stop.
    pub(super) fn control_limit(&self) -> u64 {
        self.header.bytes - BATCH_HEADER as u64
    }

    /// The seed of the CRCs of the batch at this offset.
    pub(super) fn seed(&self, offset: u64) -> u32 {
        record::seed(self.header.salt, self.header.number, offset)
    }
}

/// Bytes of entries that a segment of this length has room for.
pub(super) fn capacity(segment_bytes: u64) -> u64 {
    segment_bytes - SEGMENT_HEADER as u64 - CONTROL_RESERVE
}

/// A batch as found in a segment.
pub(super) struct Batch {
    pub(super) header: BatchHeader,
    pub(super) records: Vec<Record>,
}

/// Why there is no batch at an offset.
pub(super) enum BatchError {
    /// The bytes there are not what was written; holds the offset of the first bad ones.
    Damaged(u64),
    /// They could not be read.
    Io(io::Error),
}

/// Reads batches of a segment in order, in large pieces.
pub(super) struct Reader<'a> {
    segment: &'a Segment,
    piece: Bytes,
    piece_at: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(segment: &'a Segment) -> Self {
        Self {
            segment,
            piece: Bytes::new(),
            piece_at: 0,
        }
    }

    /// The bytes from an offset on, fewer than asked for at the end of the file.
    fn bytes(&mut self, offset: u64, bytes: usize) -> io::Result<Bytes> {
        let end = self.piece_at + self.piece.len() as u64;
        if offset < self.piece_at || offset + bytes as u64 > end {
            let rest = self.segment.header.bytes.saturating_sub(offset);
            let piece = READ_BYTES.min(usize::try_from(rest).unwrap_or(READ_BYTES));
            let mut buf = vec![0; bytes.max(piece)];
            let read = self.segment.file.read_up_to(&mut buf, offset)?;
            buf.truncate(read);
            self.piece = Bytes::from(buf);
            self.piece_at = offset;
        }
        let from = (offset - self.piece_at) as usize;
        let to = self.piece.len().min(from + bytes);
        Ok(self.piece.slice(from..to))
    }

    /// The batch at an offset.
    pub(super) fn batch(&mut self, offset: u64) -> Result<Batch, BatchError> {
        let seed = self.segment.seed(offset);
        let header = self.bytes(offset, BATCH_HEADER).map_err(BatchError::Io)?;
        let Some(header) = BatchHeader::decode(&header, seed) else {
            return Err(BatchError::Damaged(offset));
        };
        let body_at = offset + BATCH_HEADER as u64;
        let body_bytes = header.body as usize;
        if offset + header.total_bytes() > self.segment.header.bytes {
            return Err(BatchError::Damaged(offset));
        }
        let body = self.bytes(body_at, body_bytes).map_err(BatchError::Io)?;
        if body.len() < body_bytes {
            return Err(BatchError::Damaged(body_at + body.len() as u64));
        }
        match record::decode_records(&body, seed) {
            Ok(records) => Ok(Batch { header, records }),
            Err(at) => Err(BatchError::Damaged(body_at + at as u64)),
        }
    }
}

/// Writes zeros from one offset to another, in steps, syncing each so that the disk's queue
/// stays short.
pub(super) fn zero(file: &dyn FsFile, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; STEP_BYTES.min((to - from) as usize)];
    let mut at = from;
    while at < to {
        let step = zeros.len().min((to - at) as usize);
        file.write_all_at(&zeros[..step], at)?;
        file.sync_data()?;
        at += step as u64;
    }
    Ok(())
}
