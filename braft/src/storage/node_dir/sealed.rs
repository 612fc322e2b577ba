//! Small files with magic, CRC and format number in front.

use std::io;
use std::path::Path;

use super::error::OpenNodeDirError;
use crate::storage::fs::{Fs, Mode, named};

/// The format this build writes, and the newest it reads.
const FORMAT: u32 = 1;
/// Magic, CRC, format number.
pub(super) const PREFIX: usize = 16;
/// A file of a newer format may be longer, and must still be told from a damaged one.
const NEWER_LIMIT: usize = 64 << 10;

/// Fills in magic, format and CRC in front of a file's content.
pub(super) fn seal(bytes: &mut [u8], magic: [u8; 8]) {
    bytes[0..8].copy_from_slice(&magic);
    bytes[12..16].copy_from_slice(&FORMAT.to_le_bytes());
    let crc = crc32fast::hash(&bytes[12..]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
}

/// Reads a small file written by [`seal`]. Magic, CRC and format number keep their place in all
/// formats to come.
pub(super) fn read_sealed(
    fs: &dyn Fs,
    dir: &Path,
    file: &Path,
    magic: [u8; 8],
    limit: usize,
) -> Result<Vec<u8>, OpenNodeDirError> {
    let damaged = |what: String| OpenNodeDirError::Damaged {
        file: file.to_path_buf(),
        what,
    };
    let read = || match fs
        .open(file, Mode::Read)?
        .read_all(limit.max(NEWER_LIMIT) as u64)
    {
        Err(error) if error.kind() != io::ErrorKind::InvalidData => Err(named(file, error)),
        read => read,
    };
    let bytes = match read() {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(damaged(error.to_string()));
        }
        Err(source) => {
            let dir = dir.to_path_buf();
            return Err(OpenNodeDirError::Io { dir, source });
        }
    };
    if bytes.len() < PREFIX || bytes[0..8] != magic {
        return Err(damaged("it does not begin as such a file does".into()));
    }
    if bytes[8..12] != crc32fast::hash(&bytes[12..]).to_le_bytes() {
        return Err(damaged("its checksum does not match its content".into()));
    }
    let found = u32::from_le_bytes(bytes[12..16].try_into().expect("4 bytes were sliced"));
    if found > FORMAT {
        return Err(OpenNodeDirError::NewerFormat {
            file: file.to_path_buf(),
            found,
            known: FORMAT,
        });
    }
    if bytes.len() > limit {
        let what = format!(
            "it is {} bytes long, at most {limit} are expected",
            bytes.len()
        );
        return Err(damaged(what));
    }
    Ok(bytes)
}
