//! Takes a snapshot file from a peer.
//!
//! The pieces of a file gather under a name made of the file's id. So after a dropped connection,
//! or a restart, only what is missing is asked for. Nothing received is trusted: the whole file
//! is checked before it gets its final name, and one that was garbled is thrown away.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::RECEIVING;
use super::SnapshotFile;
use super::Store;
use super::error::ReceiveSnapshotError;
use super::format::FileId;
use crate::storage::fs::FsFile;
use crate::storage::fs::Mode;

/// Synced in steps of this many bytes, so that the log's syncs on the same disk do not wait for
/// one long one.
const SYNC_BYTES: u64 = 8 << 20;

/// A file on its way here; what has arrived stays when this is dropped.
pub(crate) struct SnapshotReceiver {
    store: Arc<Store>,
    id: FileId,
    path: PathBuf,
    file: Arc<dyn FsFile>,
    offset: u64,
    synced: u64,
    total_bytes: u64,
}

impl SnapshotReceiver {
    pub(super) fn open(
        store: Arc<Store>,
        file_id: &str,
        total_bytes: u64,
    ) -> Result<Self, ReceiveSnapshotError> {
        let Some(id) = FileId::parse(file_id) else {
            return Err(ReceiveSnapshotError::FileId(file_id.into()));
        };
        let path = store.dir.join(id.name(RECEIVING));
        let opened = (|| {
            for name in store.fs.list(&store.dir)? {
                if name.ends_with(RECEIVING) && name != id.name(RECEIVING) {
                    store.fs.remove(&store.dir.join(name))?;
                }
            }
            let file = store.fs.open(&path, Mode::OpenOrCreate)?;
            let mut offset = file.bytes()?;
            if offset > total_bytes {
                file.set_len(0)?;
                offset = 0;
            }
            Ok((file, offset))
        })();
        let (file, offset) = opened.map_err(|source| ReceiveSnapshotError::Io {
            file: path.clone(),
            source,
        })?;
        Ok(Self {
            store,
            id,
            path,
            file,
            offset,
            synced: offset,
            total_bytes,
        })
    }

    /// How much has arrived: where the next piece begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes the piece at `offset`.
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), ReceiveSnapshotError> {
        if offset != self.offset {
            return Err(ReceiveSnapshotError::Offset {
                expected: self.offset,
                got: offset,
            });
        }
        let end = offset + bytes.len() as u64;
        if end > self.total_bytes {
            return Err(self.length(end));
        }
        self.file
            .write_all_at(bytes, offset)
            .map_err(|error| self.io(error))?;
        self.offset = end;
        if end - self.synced >= SYNC_BYTES {
            self.file.sync_data().map_err(|error| self.io(error))?;
            self.synced = end;
        }
        Ok(())
    }

    /// Checks the whole file and makes it the store's current one, unless there is a later one by now.
    pub(crate) fn finish(self) -> Result<SnapshotFile, ReceiveSnapshotError> {
        if self.offset != self.total_bytes {
            return Err(self.length(self.offset));
        }
        let checked = self.check();
        if checked.is_err() {
            // Otherwise the next attempt would go on where this one went wrong.
            self.store
                .fs
                .remove(&self.path)
                .map_err(|error| self.io(error))?;
        }
        checked?;
        self.file.sync_all().map_err(|error| self.io(error))?;
        let installed = self.store.install(&self.path, self.id);
        if installed.is_err() {
            drop(self.store.fs.remove(&self.path));
        }
        Ok(installed?)
    }

    fn check(&self) -> Result<(), ReceiveSnapshotError> {
        let garbled = ReceiveSnapshotError::Garbled;
        let file = SnapshotFile::open(&*self.store.fs, &self.path).map_err(garbled)?;
        if file.file_id != self.id.to_string() {
            return Err(ReceiveSnapshotError::OtherFile {
                announced: self.id.to_string(),
                got: file.file_id,
            });
        }
        file.verify().map_err(garbled)
    }

    fn length(&self, got: u64) -> ReceiveSnapshotError {
        ReceiveSnapshotError::Length {
            announced: self.total_bytes,
            got,
        }
    }

    fn io(&self, source: io::Error) -> ReceiveSnapshotError {
        ReceiveSnapshotError::Io {
            file: self.path.clone(),
            source,
        }
    }
}
