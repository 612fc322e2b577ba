//! The bytes of a snapshot file.
//!
//! | header | bytes | | frame | bytes |
//! |---|---|---|---|---|
//! | magic | 8 | | length of the payload | 4 |
//! | CRC of all that follows in the header | 4 | | CRC of the other fields, its offset, the payload | 4 |
//! | format | 4 | | kind | 4 |
//! | last log id: term, index | 16 | | payload | |
//! | random number | 8 | | | |
//! | length of the meta data | 8 | | | |
//! | meta data | | | | |
//!
//! A section is a frame with its name and frames with its content. The last frame is the footer;
//! it holds the number of frames before it, and the file ends with it. As every CRC covers the
//! random number and the frame's offset, no frame can be missing, doubled, moved or from another
//! file.

use std::fmt;

use bytes::Bytes;

use super::error::ReadSnapshotError;
use crate::storage::wal::LogId;

/// The format this build writes, and the newest it reads.
pub(super) const FORMAT: u32 = 1;
const MAGIC: [u8; 8] = *b"braftsnp";
/// Length of the header without meta data.
pub(super) const HEADER_BYTES: usize = 48;
/// Longest meta data: what is large goes into a section.
pub(super) const MAX_META_BYTES: usize = 1 << 20;
/// Length of a frame without payload.
pub(super) const FRAME_BYTES: usize = 12;
/// Longest payload of a frame, hence what reader and writer hold in memory.
pub(super) const CHUNK_BYTES: usize = 256 << 10;
/// Length of the whole footer frame.
pub(super) const FOOTER_BYTES: u64 = FRAME_BYTES as u64 + 8;

/// Names one snapshot file among all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FileId {
    pub(super) last: LogId,
    pub(super) random: u64,
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LogId { term, index } = self.last;
        write!(f, "{term}-{index}-{:016x}", self.random)
    }
}

impl FileId {
    /// Reads what `to_string` gave, and nothing else: peers send these, and they become file
    /// names.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (term, index, random) = (parts.next()?, parts.next()?, parts.next()?);
        let id = Self {
            last: LogId {
                term: term.parse().ok()?,
                index: index.parse().ok()?,
            },
            random: u64::from_str_radix(random, 16).ok()?,
        };
        (id.to_string() == text).then_some(id)
    }

    pub(super) fn name(self, suffix: &str) -> String {
        format!("{self}{suffix}")
    }

    pub(super) fn from_name(name: &str, suffix: &str) -> Option<Self> {
        Self::parse(name.strip_suffix(suffix)?)
    }
}

/// A file's header.
pub(super) struct Header {
    pub(super) id: FileId,
    pub(super) meta: Bytes,
    /// Where the first frame begins.
    pub(super) body: u64,
}

/// The header's fixed part, checked as far as it can be alone.
pub(super) fn meta_bytes(fixed: &[u8; HEADER_BYTES]) -> Option<usize> {
    let bytes = usize::try_from(number(fixed, 40)).ok()?;
    (fixed[0..8] == MAGIC && bytes <= MAX_META_BYTES).then_some(bytes)
}

pub(super) fn encode_header(id: FileId, meta: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes[0..8].copy_from_slice(&MAGIC);
    bytes[12..16].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[16..24].copy_from_slice(&id.last.term.to_le_bytes());
    bytes[24..32].copy_from_slice(&id.last.index.to_le_bytes());
    bytes[32..40].copy_from_slice(&id.random.to_le_bytes());
    bytes[40..48].copy_from_slice(&(meta.len() as u64).to_le_bytes());
    bytes.extend_from_slice(meta);
    let crc = crc32fast::hash(&bytes[12..]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads a whole header. Magic, CRC, format number and the length of the meta data keep their
/// place and meaning in all formats to come, so that a newer format can be told from damage.
pub(super) fn decode_header(bytes: &[u8]) -> Result<Header, HeaderError> {
    let fixed = bytes
        .first_chunk::<HEADER_BYTES>()
        .ok_or(HeaderError::Damaged)?;
    let meta = meta_bytes(fixed).ok_or(HeaderError::Damaged)?;
    let crc = crc32fast::hash(&bytes[12..]).to_le_bytes();
    if bytes.len() != HEADER_BYTES + meta || fixed[8..12] != crc {
        return Err(HeaderError::Damaged);
    }
    let found = u32::from_le_bytes([fixed[12], fixed[13], fixed[14], fixed[15]]);
    if found > FORMAT {
        return Err(HeaderError::Newer(found));
    }
    Ok(Header {
        id: FileId {
            last: LogId {
                term: number(fixed, 16),
                index: number(fixed, 24),
            },
            random: number(fixed, 32),
        },
        meta: Bytes::copy_from_slice(&bytes[HEADER_BYTES..]),
        body: bytes.len() as u64,
    })
}

/// The same bytes with sums that are right, as far as header and frames can be made out.
#[cfg(feature = "testing")]
pub(crate) fn with_right_sums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let Some(meta) = bytes.first_chunk().and_then(meta_bytes) else {
        return bytes;
    };
    let mut at = HEADER_BYTES + meta;
    if bytes.len() < at {
        return bytes;
    }
    let crc = crc32fast::hash(&bytes[12..at]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    let random = number(&bytes, 32);
    while let Some(frame) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let (start, code) = (at + FRAME_BYTES, number(&bytes[at..], 4) >> 32);
        let Some(length) = payload_bytes(frame).filter(|length| start + length <= bytes.len())
        else {
            break;
        };
        let payload = &bytes[start..start + length];
        let crc = frame_crc(random, at as u64, length as u32, code as u32, payload);
        bytes[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
        at = start + length;
    }
    bytes
}

/// Why a header cannot be read.
pub(super) enum HeaderError {
    Damaged,
    Newer(u32),
}

impl HeaderError {
    pub(super) fn at(self, file: &std::path::Path) -> ReadSnapshotError {
        let file = file.to_path_buf();
        match self {
            Self::Newer(found) => {
                let known = FORMAT;
                ReadSnapshotError::NewerFormat { file, found, known }
            }
            Self::Damaged => ReadSnapshotError::Damaged {
                file,
                offset: 0,
                what: "its header is not what was written".into(),
            },
        }
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes were sliced"))
}

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// The name of the section that begins.
    Section,
    /// Content of the section.
    Chunk,
    /// The end of the file.
    Footer,
}

impl Kind {
    fn code(self) -> u32 {
        match self {
            Self::Section => 1,
            Self::Chunk => 2,
            Self::Footer => 3,
        }
    }
}

fn frame_crc(random: u64, offset: u64, bytes: u32, kind: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&random.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(&bytes.to_le_bytes());
    hasher.update(&kind.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// The first bytes of a frame.
pub(super) fn encode_frame(
    random: u64,
    offset: u64,
    kind: Kind,
    payload: &[u8],
) -> [u8; FRAME_BYTES] {
    let bytes = u32::try_from(payload.len()).expect("a payload is at most a chunk");
    let crc = frame_crc(random, offset, bytes, kind.code(), payload);
    let mut frame = [0; FRAME_BYTES];
    frame[0..4].copy_from_slice(&bytes.to_le_bytes());
    frame[4..8].copy_from_slice(&crc.to_le_bytes());
    frame[8..12].copy_from_slice(&kind.code().to_le_bytes());
    frame
}

/// The length of a frame's payload, if it can be true.
pub(super) fn payload_bytes(frame: &[u8; FRAME_BYTES]) -> Option<usize> {
    let bytes = u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
    (bytes <= CHUNK_BYTES).then_some(bytes)
}

/// What the frame is, if it is undamaged.
pub(super) fn decode_frame(
    random: u64,
    offset: u64,
    frame: &[u8; FRAME_BYTES],
    payload: &[u8],
) -> Option<Kind> {
    let code = u32::from_le_bytes([frame[8], frame[9], frame[10], frame[11]]);
    let crc = frame_crc(random, offset, payload.len() as u32, code, payload);
    if frame[4..8] != crc.to_le_bytes() {
        return None;
    }
    [Kind::Section, Kind::Chunk, Kind::Footer]
        .into_iter()
        .find(|kind| kind.code() == code)
}
