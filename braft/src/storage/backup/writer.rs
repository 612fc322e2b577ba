//! The bytes of a backup, in the order of the file.

use std::io::{self, Write};

use bytes::Bytes;

use super::{CHUNK_BYTES, Description, END_BYTES, Part, end, head};
use crate::siphash::Chain;
use crate::storage::snapshot::{ReadSnapshotError, SnapshotFile};

/// A backup on its way: gives the file's bytes piece by piece.
pub(crate) struct Backup {
    snapshot: SnapshotFile,
    digest: Chain,
    head: Option<Bytes>,
    /// Bytes of the snapshot that were given.
    given: u64,
    ended: bool,
    total_bytes: u64,
}

impl Backup {
    /// Begins with a snapshot; the description is completed from it. `parts` are its own.
    pub(crate) fn new(snapshot: SnapshotFile, description: &Description) -> io::Result<Self> {
        let head = head(description).map_err(io::Error::other)?;
        let total_bytes = head.len() as u64 + snapshot.bytes + END_BYTES as u64;
        Ok(Backup {
            snapshot,
            digest: Chain::default(),
            head: Some(head.into()),
            given: 0,
            ended: false,
            total_bytes,
        })
    }

    /// The length of the whole file.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// The next bytes; `None` behind the last.
    pub(crate) fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        let piece = if let Some(head) = self.head.take() {
            head
        } else if self.given < self.snapshot.bytes {
            let piece = self.snapshot.read_at(self.given, CHUNK_BYTES)?;
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.given += piece.len() as u64;
            piece
        } else if !self.ended {
            self.ended = true;
            let digest = std::mem::take(&mut self.digest).finish();
            return Ok(Some(Bytes::copy_from_slice(&end(digest))));
        } else {
            return Ok(None);
        };
        self.digest.write_all(&piece)?;
        Ok(Some(piece))
    }
}

impl Part {
    /// The sections of a snapshot. Reads and checks all of it.
    pub(crate) fn all_of(snapshot: &SnapshotFile) -> Result<Vec<Part>, ReadSnapshotError> {
        let mut parts = Vec::new();
        let mut sections = snapshot.sections();
        while let Some((name, mut from)) = sections.next_section()? {
            let mut digest = Chain::default();
            let bytes = io::copy(&mut from, &mut digest).map_err(|source| {
                let file = snapshot.path.clone();
                ReadSnapshotError::Io { file, source }
            })?;
            let [low, high] = digest.finish();
            let digest = format!("{high:016x}{low:016x}");
            parts.push(Part {
                name,
                bytes,
                digest,
            });
        }
        Ok(parts)
    }
}
