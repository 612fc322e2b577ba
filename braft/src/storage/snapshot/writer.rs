//! Builds a snapshot file.

use std::io;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use super::BUILDING;
use super::SnapshotFile;
use super::Store;
use super::error::CreateSnapshotError;
use super::error::InstallSnapshotError;
use super::format;
use super::format::CHUNK_BYTES;
use super::format::FileId;
use super::format::Kind;
use super::format::MAX_META_BYTES;
use crate::storage::fs::FsFile;
use crate::storage::fs::Mode;
use crate::storage::wal::LogId;

/// Longest name of a section.
const MAX_NAME_BYTES: usize = 1024;
/// Synced in steps of this many bytes, so that the log's syncs on the same disk do not wait for
/// one long one.
const SYNC_BYTES: u64 = 8 << 20;

/// A snapshot under construction; removed when dropped unfinished.
pub(crate) struct SnapshotWriter {
    store: Arc<Store>,
    id: FileId,
    path: PathBuf,
    file: Arc<dyn FsFile>,
    offset: u64,
    synced: u64,
    frames: u64,
    /// Content of the present section that does not fill a frame yet.
    chunk: Vec<u8>,
}

/// Takes the content of one section.
pub(crate) struct SectionWriter<'a>(&'a mut SnapshotWriter);

impl SnapshotWriter {
    pub(super) fn create(
        store: Arc<Store>,
        last: LogId,
        meta: &[u8],
    ) -> Result<Self, CreateSnapshotError> {
        check_length("meta data", meta.len(), MAX_META_BYTES)?;
        let io = |source| CreateSnapshotError::Io {
            file: store.dir.clone(),
            source,
        };
        let random = crate::world::random().map_err(io)?;
        let id = FileId { last, random };
        let path = store.dir.join(id.name(BUILDING));
        let file = store.fs.open(&path, Mode::Create).map_err(io)?;
        let header = format::encode_header(id, meta);
        let writer = Self {
            store,
            id,
            path,
            file,
            offset: header.len() as u64,
            synced: 0,
            frames: 0,
            chunk: Vec::new(),
        };
        let written = writer.file.write_all_at(&header, 0);
        written.map_err(|error| writer.io(error))?;
        Ok(writer)
    }

    fn io(&self, source: io::Error) -> CreateSnapshotError {
        CreateSnapshotError::Io {
            file: self.path.clone(),
            source,
        }
    }

    /// Begins the next section, which ends the one before.
    pub(crate) fn section(&mut self, name: &str) -> Result<SectionWriter<'_>, CreateSnapshotError> {
        check_length("section name", name.len(), MAX_NAME_BYTES)?;
        let begun = self
            .flush_chunk()
            .and_then(|()| self.frame(Kind::Section, name.as_bytes()));
        begun.map_err(|error| self.io(error))?;
        Ok(SectionWriter(self))
    }

    /// Makes the file durable and, unless there is a later one by now, the store's current one.
    pub(crate) fn finish(mut self) -> Result<SnapshotFile, InstallSnapshotError> {
        let written = self.finish_file();
        written.map_err(|source| InstallSnapshotError::Io {
            file: self.path.clone(),
            source,
        })?;
        self.store.install(&self.path, self.id)
    }

    fn finish_file(&mut self) -> io::Result<()> {
        self.flush_chunk()?;
        let frames = self.frames.to_le_bytes();
        self.frame(Kind::Footer, &frames)?;
        self.file.sync_all()
    }

    fn flush_chunk(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let mut chunk = std::mem::take(&mut self.chunk);
        let written = self.frame(Kind::Chunk, &chunk);
        chunk.clear();
        self.chunk = chunk;
        written
    }

    fn frame(&mut self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        let frame = format::encode_frame(self.id.random, self.offset, kind, payload);
        self.file.write_all_at(&frame, self.offset)?;
        self.file
            .write_all_at(payload, self.offset + frame.len() as u64)?;
        self.offset += (frame.len() + payload.len()) as u64;
        self.frames += 1;
        if self.offset - self.synced >= SYNC_BYTES {
            self.file.sync_data()?;
            self.synced = self.offset;
        }
        Ok(())
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        // After an install the name is gone, and otherwise opening the store removes it.
        drop(self.store.fs.remove(&self.path));
    }
}

impl Write for SectionWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK_BYTES - self.0.chunk.len());
        self.0.chunk.extend_from_slice(&bytes[..taken]);
        if self.0.chunk.len() == CHUNK_BYTES {
            self.0.flush_chunk()?;
        }
        Ok(taken)
    }

    /// Does nothing: a section's content is complete when the next one begins or the file is
    /// finished.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn check_length(what: &'static str, bytes: usize, max: usize) -> Result<(), CreateSnapshotError> {
    if bytes > max {
        return Err(CreateSnapshotError::TooLong { what, bytes, max });
    }
    Ok(())
}
