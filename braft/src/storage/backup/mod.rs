//! Backup files: a snapshot of one node, with what a person and a restore have to know of it.
//!
//! | part | bytes |
//! |---|---|
//! | magic | 8 |
//! | CRC of all that follows up to the snapshot | 4 |
//! | format | 4 |
//! | length of the description | 8 |
//! | description, as MessagePack | |
//! | the snapshot file as the node has it | |
//! | magic of the end | 8 |
//! | CRC of the digest | 4 |
//! | digest of all that comes before the end | 16 |
//!
//! The length of the file follows from the description. Each frame of the snapshot has a CRC of its
//! own; the digest covers all of it once more, so that no byte can differ anywhere.

mod description;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use description::{Description, Part};
#[cfg(any(test, feature = "cli"))]
pub(crate) use reader::{BackupFile, ReadBackupError};
pub(crate) use writer::Backup;

/// The format this build writes, and the newest it reads.
const FORMAT: u32 = 1;
const MAGIC: [u8; 8] = *b"braftbak";
const END_MAGIC: [u8; 8] = *b"braftend";
/// Bytes before the description.
const HEADER_BYTES: usize = 24;
/// Bytes behind the snapshot.
const END_BYTES: usize = 28;
/// Longest description: a few names and numbers.
const MAX_DESCRIPTION_BYTES: usize = 1 << 20;
/// Bytes read, sent and hashed at once.
const CHUNK_BYTES: usize = 256 << 10;

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes were sliced"))
}

/// The bytes in front of the snapshot.
fn head(description: &Description) -> Result<Vec<u8>, String> {
    let description = crate::codec::encode(description).map_err(|error| error.to_string())?;
    if description.len() > MAX_DESCRIPTION_BYTES {
        return Err(format!("its description has {} bytes", description.len()));
    }
    let mut bytes = vec![0; HEADER_BYTES];
    bytes[0..8].copy_from_slice(&MAGIC);
    bytes[12..16].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[16..24].copy_from_slice(&(description.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&description);
    let crc = crc32fast::hash(&bytes[12..]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    Ok(bytes)
}

/// The bytes behind the snapshot.
fn end(digest: [u64; 2]) -> [u8; END_BYTES] {
    let mut bytes = [0; END_BYTES];
    bytes[0..8].copy_from_slice(&END_MAGIC);
    bytes[12..20].copy_from_slice(&digest[0].to_le_bytes());
    bytes[20..28].copy_from_slice(&digest[1].to_le_bytes());
    let crc = crc32fast::hash(&bytes[12..]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    bytes
}
