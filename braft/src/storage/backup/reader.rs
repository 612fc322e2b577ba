//! Reads a backup file and checks every byte of it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{
    CHUNK_BYTES, Description, END_BYTES, FORMAT, HEADER_BYTES, MAGIC, MAX_DESCRIPTION_BYTES, Part,
    end, head, number,
};
use crate::codec;
use crate::siphash::Chain;
use crate::storage::fs::{Fs, FsFile, Mode};
use crate::storage::snapshot::{ReadSnapshotError, SnapshotFile};

/// A backup cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadBackupError {
    /// Not what was written.
    #[error(
        "the backup {} is damaged: {what}; use another backup, or take a new one", file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Something else.
    #[error("{} is no backup: it does not begin as one does", file.display())]
    NoBackup {
        /// The file.
        file: PathBuf,
    },
    /// Written by a later version of braft.
    #[error(
        "the backup {} has format {found}, and this version of braft reads up to {FORMAT}: use the \
         newer version that wrote it", file.display()
    )]
    NewerFormat {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Its snapshot cannot be read.
    #[error("the backup {}: {source}", file.display())]
    Snapshot {
        /// The file.
        file: PathBuf,
        /// Why.
        source: ReadSnapshotError,
    },
    /// The file system refused.
    #[error("the backup {} cannot be read: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// A backup whose two ends belong together. [`Self::verify`] checks the rest.
pub(crate) struct BackupFile {
    path: PathBuf,
    file: Arc<dyn FsFile>,
    pub(crate) description: Description,
    /// Where the snapshot begins.
    body: u64,
    pub(crate) total_bytes: u64,
}

impl std::fmt::Debug for BackupFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BackupFile({})", self.path.display())
    }
}

impl BackupFile {
    pub(crate) fn open(fs: &dyn Fs, path: &Path) -> Result<Self, ReadBackupError> {
        let io = |source| ReadBackupError::Io {
            file: path.to_path_buf(),
            source,
        };
        let damaged = |what: &str| ReadBackupError::Damaged {
            file: path.to_path_buf(),
            what: what.to_owned(),
        };
        let file = fs.open(path, Mode::Read).map_err(io)?;
        let mut fixed = [0; HEADER_BYTES];
        let read = file.read_up_to(&mut fixed, 0).map_err(io)?;
        if read < fixed.len() || fixed[0..8] != MAGIC {
            return Err(ReadBackupError::NoBackup {
                file: path.to_path_buf(),
            });
        }
        let length = usize::try_from(number(&fixed, 16)).unwrap_or(usize::MAX);
        if length > MAX_DESCRIPTION_BYTES {
            return Err(damaged("its head is not what was written"));
        }
        let mut bytes = vec![0; HEADER_BYTES + length];
        let read = file.read_up_to(&mut bytes, 0).map_err(io)?;
        let crc = crc32fast::hash(&bytes[12..]).to_le_bytes();
        if read < bytes.len() || bytes[8..12] != crc {
            return Err(damaged("its head is not what was written"));
        }
        let found = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
        if found > FORMAT {
            let file = path.to_path_buf();
            return Err(ReadBackupError::NewerFormat { file, found });
        }
        let description: Description = codec::decode(&bytes[HEADER_BYTES..])
            .map_err(|error| damaged(&format!("its description cannot be read: {error}")))?;
        let body = bytes.len() as u64;
        let total_bytes = body
            .saturating_add(description.snapshot_bytes)
            .saturating_add(END_BYTES as u64);
        let is = file.bytes().map_err(io)?;
        if is != total_bytes {
            let what = format!("it has {is} bytes, and was written with {total_bytes}");
            return Err(damaged(&what));
        }
        Ok(BackupFile {
            path: path.to_path_buf(),
            file,
            description,
            body,
            total_bytes,
        })
    }

    fn damaged(&self, what: &str) -> ReadBackupError {
        ReadBackupError::Damaged {
            file: self.path.clone(),
            what: what.to_owned(),
        }
    }

    /// Reads everything and checks it; `progress` is told how many bytes were read.
    pub(crate) fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<(), ReadBackupError> {
        let io = |source| ReadBackupError::Io {
            file: self.path.clone(),
            source,
        };
        let written = head(&self.description).map_err(|what| self.damaged(&what))?;
        if written.len() as u64 != self.body {
            return Err(self.damaged("its head is not what this version would write"));
        }
        let until = self.total_bytes - END_BYTES as u64;
        let mut digest = Chain::default();
        let mut buf = vec![0; CHUNK_BYTES];
        let mut at = 0;
        while at < until {
            let wanted = usize::try_from(until - at).unwrap_or(usize::MAX);
            let wanted = wanted.min(buf.len());
            let read = self.file.read_up_to(&mut buf[..wanted], at).map_err(io)?;
            if read < wanted {
                return Err(self.damaged("it ends early"));
            }
            digest.write_all(&buf[..read]).map_err(io)?;
            at += read as u64;
            progress(read as u64);
        }
        let mut last = [0; END_BYTES];
        let read = self.file.read_up_to(&mut last, until).map_err(io)?;
        if read < last.len() || last != end(digest.finish()) {
            return Err(
                self.damaged("its content does not have the digest that it was written with")
            );
        }
        let parts = Part::all_of(&self.snapshot()?).map_err(|source| self.in_snapshot(source))?;
        if parts != self.description.parts {
            return Err(self.damaged("its parts are not those of its description"));
        }
        Ok(())
    }

    fn in_snapshot(&self, source: ReadSnapshotError) -> ReadBackupError {
        ReadBackupError::Snapshot {
            file: self.path.clone(),
            source,
        }
    }

    /// The snapshot in it.
    pub(crate) fn snapshot(&self) -> Result<SnapshotFile, ReadBackupError> {
        let window = Window {
            file: self.file.clone(),
            from: self.body,
            bytes: self.description.snapshot_bytes,
        };
        let opened = SnapshotFile::of(Arc::new(window), &self.path);
        opened.map_err(|source| self.in_snapshot(source))
    }
}

/// A part of a file, to be read as one.
struct Window {
    file: Arc<dyn FsFile>,
    from: u64,
    bytes: u64,
}

fn read_only<T>() -> io::Result<T> {
    Err(io::ErrorKind::PermissionDenied.into())
}

impl FsFile for Window {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = rest.min(buf.len());
        if wanted == 0 {
            return Ok(0);
        }
        self.file.read_at(&mut buf[..wanted], self.from + offset)
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        read_only()
    }

    fn sync_data(&self) -> io::Result<()> {
        read_only()
    }

    fn sync_all(&self) -> io::Result<()> {
        read_only()
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        read_only()
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.bytes)
    }

    fn try_lock(&self) -> io::Result<bool> {
        read_only()
    }
}
