//! A node's data directory: who the node is, and that one process at a time uses it.
//!
//! `LOCK` is locked as long as the node runs, and holds the id of its process. `node` holds format version,
//! node id and cluster id. `promise` holds what the node has promised while a cluster forms.
//! `log/` and `snapshots/` belong to the modules of those names.

mod error;
mod identity;
mod sealed;
#[cfg(test)]
mod tests;
mod unfinished;

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

pub(crate) use self::error::{OpenNodeDirError, SetClusterIdError};
pub(crate) use self::identity::Identity;
use self::identity::read_node;
use self::sealed::{PREFIX, read_sealed, seal};
#[cfg(any(test, feature = "cli"))]
pub(crate) use self::unfinished::{Stage, UNFINISHED, Unfinished, check as check_finished};
use super::fs::{Fs, FsFile, Mode, replace_file};
use crate::planted::{self, Bug};

pub(crate) const LOCK: &str = "LOCK";
pub(crate) const NODE: &str = "node";
pub(crate) const PROMISE: &str = "promise";
pub(crate) const STARTS: &str = "starts";
pub(crate) const LOG: &str = "log";
pub(crate) const SNAPSHOTS: &str = "snapshots";

const NODE_MAGIC: [u8; 8] = *b"braftnod";
const PROMISE_MAGIC: [u8; 8] = *b"braftpro";
const STARTS_MAGIC: [u8; 8] = *b"braftsta";
/// Longest promise: far beyond a set of node ids and addresses.
const MAX_PROMISE_BYTES: usize = 1 << 20;

/// An open data directory, locked until this is released or dropped.
pub(crate) struct NodeDir {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    identity: Mutex<Identity>,
    /// Holds the lock, until [`Self::release`].
    lock: Mutex<Option<Arc<dyn FsFile>>>,
}

impl NodeDir {
    /// Opens a data directory, or creates it with a new random node id.
    pub(crate) fn open(fs: Arc<dyn Fs>, path: &Path) -> Result<Self, OpenNodeDirError> {
        let io = |source| OpenNodeDirError::Io {
            dir: path.to_path_buf(),
            source,
        };
        fs.create_dir_all(path).map_err(io)?;
        let lock = lock(&*fs, path)?;
        unfinished::check(&*fs, path)?;
        let identity = if fs.exists(&path.join(NODE)).map_err(io)? {
            read_node(&*fs, path)?
        } else {
            refuse_orphans(&*fs, path)?;
            let mut identity = Identity::random().map_err(io)?;
            if planted::is(Bug::ReuseNodeId) {
                identity.node_id = u64::from(crc32fast::hash(path.as_os_str().as_bytes()));
            }
            replace_file(&*fs, path, NODE, &identity.encode()).map_err(io)?;
            identity
        };
        for dir in [LOG, SNAPSHOTS] {
            fs.create_dir_all(&path.join(dir)).map_err(io)?;
        }
        Ok(Self {
            fs,
            path: path.to_path_buf(),
            identity: Mutex::new(identity),
            lock: Mutex::new(Some(lock)),
        })
    }

    fn identity(&self) -> Identity {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the lock up: the node has stopped writing here, though parts of it may be held a
    /// while longer, say by a connection that is still open.
    pub(crate) fn release(&self) {
        drop(self.held().take());
    }

    fn held(&self) -> MutexGuard<'_, Option<Arc<dyn FsFile>>> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The node's id: random, not zero, never changed.
    pub(crate) fn node_id(&self) -> u64 {
        self.identity().node_id
    }

    /// The cluster the node belongs to.
    pub(crate) fn cluster_id(&self) -> Option<u128> {
        self.identity().cluster_id
    }

    /// Whether the node has never belonged to a cluster.
    pub(crate) fn is_pristine(&self) -> bool {
        self.cluster_id().is_none()
    }

    /// Writes down, durably and once, which cluster the node belongs to.
    pub(crate) fn set_cluster_id(&self, id: u128) -> Result<(), SetClusterIdError> {
        let mut identity = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        match identity.cluster_id {
            Some(had) if had == id => Ok(()),
            Some(had) => Err(SetClusterIdError::Other {
                dir: self.path.clone(),
                had,
                asked: id,
            }),
            None => {
                let changed = Identity {
                    cluster_id: Some(id),
                    ..*identity
                };
                replace_file(&*self.fs, &self.path, NODE, &changed.encode())?;
                *identity = changed;
                Ok(())
            }
        }
    }

    /// Makes a promise durable; it replaces the one before.
    pub(crate) fn save_promise(&self, promise: &[u8]) -> io::Result<()> {
        if promise.len() > MAX_PROMISE_BYTES {
            let message = format!("a promise of {} bytes is too long", promise.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let mut bytes = vec![0; PREFIX];
        bytes.extend_from_slice(promise);
        seal(&mut bytes, PROMISE_MAGIC);
        replace_file(&*self.fs, &self.path, PROMISE, &bytes)
    }

    /// The last promise, if there ever was one.
    pub(crate) fn load_promise(&self) -> Result<Option<Bytes>, OpenNodeDirError> {
        let io = |source| OpenNodeDirError::Io {
            dir: self.path.clone(),
            source,
        };
        let file = self.path.join(PROMISE);
        if !self.fs.exists(&file).map_err(io)? {
            return Ok(None);
        }
        let limit = MAX_PROMISE_BYTES + PREFIX;
        let bytes = read_sealed(&*self.fs, &self.path, &file, PROMISE_MAGIC, limit)?;
        Ok(Some(Bytes::from(bytes).slice(PREFIX..)))
    }

    /// Counts this start, durably, and says how many there have been: what tells an old copy of a
    /// directory from the directory itself.
    pub(crate) fn count_start(&self) -> Result<u64, OpenNodeDirError> {
        let io = |source| OpenNodeDirError::Io {
            dir: self.path.clone(),
            source,
        };
        let file = self.path.join(STARTS);
        let before = if self.fs.exists(&file).map_err(io)? {
            let limit = PREFIX + size_of::<u64>();
            let bytes = read_sealed(&*self.fs, &self.path, &file, STARTS_MAGIC, limit)?;
            let number = bytes[PREFIX..].try_into();
            number
                .map(u64::from_le_bytes)
                .map_err(|_| OpenNodeDirError::Damaged {
                    file,
                    what: "it is too short".into(),
                })?
        } else {
            0
        };
        let starts = before.saturating_add(1);
        let mut bytes = vec![0; PREFIX];
        bytes.extend_from_slice(&starts.to_le_bytes());
        seal(&mut bytes, STARTS_MAGIC);
        replace_file(&*self.fs, &self.path, STARTS, &bytes).map_err(io)?;
        Ok(starts)
    }

    /// Where the log lives.
    pub(crate) fn log_dir(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// Where the snapshots live.
    pub(crate) fn snapshot_dir(&self) -> PathBuf {
        self.path.join(SNAPSHOTS)
    }
}

/// Who the node in a directory is; `None` if there is none.
pub(crate) fn identity_in(fs: &dyn Fs, dir: &Path) -> Result<Option<Identity>, OpenNodeDirError> {
    let there = fs.exists(&dir.join(NODE));
    let there = there.map_err(|source| OpenNodeDirError::Io {
        dir: dir.to_path_buf(),
        source,
    })?;
    there.then(|| read_node(fs, dir)).transpose()
}

/// Writes down, durably, who the node in a directory is.
pub(crate) fn write_identity(fs: &dyn Fs, dir: &Path, identity: Identity) -> io::Result<()> {
    replace_file(fs, dir, NODE, &identity.encode())
}

/// Locks a data directory until what is given is dropped.
pub(crate) fn lock(fs: &dyn Fs, dir: &Path) -> Result<Arc<dyn FsFile>, OpenNodeDirError> {
    let io = |source| OpenNodeDirError::Io {
        dir: dir.to_path_buf(),
        source,
    };
    let file = fs.open(&dir.join(LOCK), Mode::OpenOrCreate).map_err(io)?;
    if !file.try_lock().map_err(io)? {
        let mut buf = [0; 16];
        let read = file.read_up_to(&mut buf, 0).unwrap_or(0);
        let text = String::from_utf8_lossy(&buf[..read]);
        return Err(OpenNodeDirError::InUse {
            dir: dir.to_path_buf(),
            pid: text.trim().parse().ok(),
        });
    }
    // Only for the message above: it is no harm if it cannot be written, say on a full disk.
    let pid = format!("{}\n", std::process::id());
    drop(
        file.set_len(0)
            .and_then(|()| file.write_all_at(pid.as_bytes(), 0)),
    );
    Ok(file)
}

/// A log or a snapshot whose node is unknown must not be taken over by a new node.
fn refuse_orphans(fs: &dyn Fs, dir: &Path) -> Result<(), OpenNodeDirError> {
    for data in [LOG, SNAPSHOTS] {
        let data = dir.join(data);
        let names = match fs.list(&data) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => {
                let dir = dir.to_path_buf();
                return Err(OpenNodeDirError::Io { dir, source });
            }
        };
        if let Some(name) = names.first() {
            return Err(OpenNodeDirError::Missing {
                file: dir.join(NODE),
                data: data.join(name),
            });
        }
    }
    Ok(())
}
