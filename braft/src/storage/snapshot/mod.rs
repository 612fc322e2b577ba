//! Snapshot files: the state as of one log id, as named sections.
//!
//! | module | does |
//! |---|---|
//! | `format` | the bytes of header, frames, footer |
//! | `writer` | builds a file from sections |
//! | `reader` | gives the sections back, checking every byte |
//! | `receiver` | takes a file from a peer, piece by piece, with resume |
//!
//! A file gets its final name only when it is whole and durable; only then are older ones
//! removed. So there is always at most one that counts, and what has a temporary name does not.

mod error;
mod format;
mod reader;
mod receiver;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use bytes::Bytes;

pub(crate) use error::CreateSnapshotError;
pub(crate) use error::InstallSnapshotError;
pub(crate) use error::ReadSnapshotError;
pub(crate) use error::ReceiveSnapshotError;
#[cfg(feature = "testing")]
pub(crate) use format::with_right_sums;
pub(crate) use reader::Sections;
pub(crate) use receiver::SnapshotReceiver;
pub(crate) use writer::SnapshotWriter;

use self::format::FileId;
use super::fs::Fs;
use super::fs::FsFile;
use super::fs::Mode;
use super::fs::named;
use super::wal::LogId;
use crate::planted::{self, Bug};

/// What a finished file's name ends with.
const FINISHED: &str = ".snap";
/// What the name of a file under construction ends with.
const BUILDING: &str = ".tmp";
/// What the name of a half-received file ends with.
const RECEIVING: &str = ".part";

/// The snapshots of one node.
#[derive(Clone)]
pub(crate) struct SnapshotStore {
    store: Arc<Store>,
}

struct Store {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    /// Locked for moments only: whoever looks at a node's state looks here.
    current: Mutex<Option<SnapshotFile>>,
    installing: Mutex<()>,
}

/// A finished snapshot; can be read even after a newer one has replaced it.
#[derive(Clone)]
pub(crate) struct SnapshotFile {
    /// Where it lies.
    pub(crate) path: PathBuf,
    /// The last log entry it contains.
    pub(crate) last: LogId,
    /// What was given at its creation.
    pub(crate) meta: Bytes,
    /// Its length.
    pub(crate) bytes: u64,
    /// Names this very file: its log id and a random number. Two snapshots of one log id differ.
    pub(crate) file_id: String,
    /// Where the first frame begins.
    body: u64,
    file: Arc<dyn FsFile>,
}

impl SnapshotStore {
    /// Opens the snapshots in `dir`: removes what was left unfinished, except for one
    /// half-received file, and all but the newest finished one.
    ///
    /// Only header and footer of the newest are checked here; reading checks the rest.
    pub(crate) fn open(fs: Arc<dyn Fs>, dir: &Path) -> Result<Self, ReadSnapshotError> {
        let io = |source| ReadSnapshotError::Io {
            file: dir.to_path_buf(),
            source,
        };
        fs.create_dir_all(dir).map_err(io)?;
        let names = fs.list(dir).map_err(io)?;
        let finished = |name: &String| FileId::from_name(name, FINISHED);
        let newest = names.iter().filter_map(finished).max_by_key(|id| id.last);
        let current = match newest {
            Some(id) => Some(SnapshotFile::open(&*fs, &dir.join(id.name(FINISHED)))?),
            None => None,
        };
        let older = |name: &&String| finished(name).is_some_and(|id| Some(id) != newest);
        let built = |name: &&String| name.ends_with(BUILDING);
        for name in names.iter().filter(|name| built(name) || older(name)) {
            fs.remove(&dir.join(name)).map_err(io)?;
        }
        let store = Store {
            fs,
            dir: dir.to_path_buf(),
            current: Mutex::new(current),
            installing: Mutex::default(),
        };
        Ok(Self {
            store: Arc::new(store),
        })
    }

    /// The newest finished snapshot.
    pub(crate) fn current(&self) -> Option<SnapshotFile> {
        self.store.lock().clone()
    }

    /// Starts a snapshot of the state after entry `last`. `meta` is given back unread.
    pub(crate) fn create(
        &self,
        last: LogId,
        meta: &[u8],
    ) -> Result<SnapshotWriter, CreateSnapshotError> {
        SnapshotWriter::create(Arc::clone(&self.store), last, meta)
    }

    /// Starts to receive a peer's file, or goes on with it. Any other half-received one is
    /// given up: a node installs one snapshot at a time.
    pub(crate) fn receive(
        &self,
        file_id: &str,
        total_bytes: u64,
    ) -> Result<SnapshotReceiver, ReceiveSnapshotError> {
        SnapshotReceiver::open(Arc::clone(&self.store), file_id, total_bytes)
    }
}

impl Store {
    fn lock(&self) -> MutexGuard<'_, Option<SnapshotFile>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a whole, synced file its final name and removes the one before. If that is later, which one
    /// that came in while this was written may be, it stays; this one is only given back.
    fn install(&self, temporary: &Path, id: FileId) -> Result<SnapshotFile, InstallSnapshotError> {
        let io = |source| InstallSnapshotError::Io {
            file: temporary.to_path_buf(),
            source,
        };
        // Held throughout, so that two files finished at once are compared with each other.
        let installing = self.installing.lock();
        let _installing = installing.unwrap_or_else(PoisonError::into_inner);
        let current = self.lock().as_ref().map(|current| current.last);
        if current.is_some_and(|current| current > id.last) {
            let file = SnapshotFile::open(&*self.fs, temporary)?;
            self.fs.remove(temporary).map_err(io)?;
            return Ok(file);
        }
        let path = self.dir.join(id.name(FINISHED));
        self.fs.rename(temporary, &path).map_err(io)?;
        if !planted::is(Bug::SnapshotNameNotSynced) {
            self.fs.sync_dir(&self.dir).map_err(io)?;
        }
        let file = SnapshotFile::open(&*self.fs, &path)?;
        let older = self.lock().replace(file.clone());
        if let Some(older) = older
            && older.path != path
        {
            self.fs.remove(&older.path).map_err(io)?;
        }
        Ok(file)
    }
}

impl fmt::Debug for SnapshotFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, bytes, .. } = self;
        write!(f, "SnapshotFile({}, {bytes} bytes)", path.display())
    }
}

impl SnapshotFile {
    /// Opens a finished file and checks that its two ends belong together.
    pub(crate) fn open(fs: &dyn Fs, path: &Path) -> Result<Self, ReadSnapshotError> {
        let io = |source| ReadSnapshotError::Io {
            file: path.to_path_buf(),
            source,
        };
        let file = fs.open(path, Mode::Read).map_err(io)?;
        Self::of(file, path)
    }

    /// The same for a file that is open; the path is for messages.
    pub(crate) fn of(file: Arc<dyn FsFile>, path: &Path) -> Result<Self, ReadSnapshotError> {
        let io = |source| ReadSnapshotError::Io {
            file: path.to_path_buf(),
            source,
        };
        let header = reader::read_header(&*file, path)?;
        let bytes = file.bytes().map_err(io)?;
        reader::check_footer(&*file, path, bytes)?;
        Ok(Self {
            path: path.to_path_buf(),
            last: header.id.last,
            meta: header.meta,
            bytes,
            file_id: header.id.to_string(),
            body: header.body,
            file,
        })
    }

    /// The sections, in the order in which they were written.
    pub(crate) fn sections(&self) -> Sections {
        Sections::new(Arc::clone(&self.file), self.path.clone(), self.body)
    }

    /// Reads everything and checks it.
    pub(crate) fn verify(&self) -> Result<(), ReadSnapshotError> {
        self.sections().verify()
    }

    /// A piece of the raw file for a peer: shorter than asked for at its end only.
    pub(crate) fn read_at(&self, offset: u64, bytes: usize) -> io::Result<Bytes> {
        let rest = self.bytes.saturating_sub(offset);
        let mut buf = vec![0; bytes.min(usize::try_from(rest).unwrap_or(usize::MAX))];
        let read = self.file.read_up_to(&mut buf, offset);
        let read = read.map_err(|error| named(&self.path, error))?;
        buf.truncate(read);
        Ok(Bytes::from(buf))
    }
}
