//! A node's data directory: who the node is, and that one process at a time uses it.
//!
//! `LOCK` is locked as long as the node runs, and holds the id of its process. `node` holds format version,
//! node id and cluster id. `promise` holds what the node has promised while a cluster forms.
//! `log/` and `snapshots/` belong to the modules of those names.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use bytes::Bytes;

use super::fs::Fs;
use super::fs::FsFile;
use super::fs::Mode;
use super::fs::replace_file;

const LOCK: &str = "LOCK";
const NODE: &str = "node";
const PROMISE: &str = "promise";
const LOG: &str = "log";
const SNAPSHOTS: &str = "snapshots";

/// The format this build writes, and the newest it reads.
const FORMAT: u32 = 1;
const NODE_MAGIC: [u8; 8] = *b"braftnod";
const PROMISE_MAGIC: [u8; 8] = *b"braftpro";
/// Magic, CRC, format number.
const PREFIX: usize = 16;
/// Bytes of the node file.
const NODE_BYTES: usize = 48;
const HAS_CLUSTER: u64 = 1;
/// Longest promise: far beyond a set of node ids and addresses.
const MAX_PROMISE_BYTES: usize = 1 << 20;

/// Why a data directory cannot be used. Nothing in it was changed, except that `LOCK` may have
/// been created.
#[derive(thiserror::Error, Debug)]
pub(crate) enum OpenNodeDirError {
    /// Another process is at work in it.
    #[error(
        "the data directory {} is in use by {}: stop that process, or give this node a \
         directory of its own", dir.display(), holder(*pid)
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// Who, if it could be read.
        pid: Option<u32>,
    },
    /// A file is not what was written.
    #[error(
        "{} is damaged: {what}; restore it from a copy, or give this node an empty data \
         directory and let it join again under a new id", file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// There is a log or a snapshot, but nothing says whose.
    #[error(
        "{} is missing, and {} holds data of a node: put the file back, or give this node an \
         empty data directory and let it join again under a new id", file.display(), data.display()
    )]
    Missing {
        /// The file that should be there.
        file: PathBuf,
        /// What was found instead.
        data: PathBuf,
    },
    /// Written by a later version of braft.
    #[error(
        "{} has format {found}, and this version of braft reads up to {known}: start the newer \
         version again that wrote it", file.display()
    )]
    NewerFormat {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format this build reads.
        known: u32,
    },
    /// The file system refused.
    #[error("the data directory {} cannot be opened: {source}", dir.display())]
    Io {
        /// The directory.
        dir: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or("another process".into(), |pid| format!("process {pid}"))
}

/// Why a cluster id was not taken.
#[derive(thiserror::Error, Debug)]
pub(crate) enum SetClusterIdError {
    /// A node belongs to one cluster for ever.
    #[error(
        "the node in {} belongs to cluster {had:032x} and cannot join {asked:032x}: give it an \
         empty data directory", dir.display()
    )]
    Other {
        /// The data directory.
        dir: PathBuf,
        /// The cluster it belongs to.
        had: u128,
        /// The cluster that was asked for.
        asked: u128,
    },
    /// It could not be made durable.
    #[error("the cluster id cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// An open data directory, locked until this is released or dropped.
pub(crate) struct NodeDir {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    identity: Mutex<Identity>,
    /// Holds the lock, until [`Self::release`].
    lock: Mutex<Option<Arc<dyn FsFile>>>,
}

#[derive(Clone, Copy)]
struct Identity {
    node_id: u64,
    cluster_id: Option<u128>,
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
        let identity = if fs.exists(&path.join(NODE)).map_err(io)? {
            read_node(&*fs, path)?
        } else {
            refuse_orphans(&*fs, path)?;
            let identity = Identity {
                node_id: new_node_id().map_err(io)?,
                cluster_id: None,
            };
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

    /// Where the log lives.
    pub(crate) fn log_dir(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// Where the snapshots live.
    pub(crate) fn snapshot_dir(&self) -> PathBuf {
        self.path.join(SNAPSHOTS)
    }
}

impl Identity {
    fn encode(self) -> Vec<u8> {
        let mut bytes = vec![0; NODE_BYTES];
        bytes[16..24].copy_from_slice(&self.node_id.to_le_bytes());
        if let Some(cluster_id) = self.cluster_id {
            bytes[24..32].copy_from_slice(&HAS_CLUSTER.to_le_bytes());
            bytes[32..48].copy_from_slice(&cluster_id.to_le_bytes());
        }
        seal(&mut bytes, NODE_MAGIC);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; NODE_BYTES] = bytes.try_into().ok()?;
        let number = |at: usize| Some(u64::from_le_bytes(bytes[at..at + 8].try_into().ok()?));
        let cluster_id = u128::from_le_bytes(bytes[32..48].try_into().ok()?);
        let identity = Self {
            node_id: number(16)?,
            cluster_id: (number(24)? == HAS_CLUSTER).then_some(cluster_id),
        };
        (identity.node_id != 0).then_some(identity)
    }
}

fn lock(fs: &dyn Fs, dir: &Path) -> Result<Arc<dyn FsFile>, OpenNodeDirError> {
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

fn new_node_id() -> io::Result<u64> {
    loop {
        let id = getrandom::u64()?;
        if id != 0 {
            return Ok(id);
        }
    }
}

fn read_node(fs: &dyn Fs, dir: &Path) -> Result<Identity, OpenNodeDirError> {
    let file = dir.join(NODE);
    let bytes = read_sealed(fs, dir, &file, NODE_MAGIC, NODE_BYTES)?;
    Identity::decode(&bytes).ok_or_else(|| {
        let what = "it does not hold a node's identity".into();
        OpenNodeDirError::Damaged { file, what }
    })
}

/// Fills in magic, format and CRC in front of a file's content.
fn seal(bytes: &mut [u8], magic: [u8; 8]) {
    bytes[0..8].copy_from_slice(&magic);
    bytes[12..16].copy_from_slice(&FORMAT.to_le_bytes());
    let crc = crc32fast::hash(&bytes[12..]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
}

/// Reads a small file written by [`seal`]. Magic, CRC and format number keep their place in all
/// formats to come.
fn read_sealed(
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
    let opened = fs.open(file, Mode::Read);
    let bytes = match opened.and_then(|opened| opened.read_all(limit.max(NEWER_LIMIT) as u64)) {
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

/// A file of a newer format may be longer, and must still be told from a damaged one.
const NEWER_LIMIT: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::fs::DiskFs;

    fn open(path: &Path) -> Result<NodeDir, OpenNodeDirError> {
        NodeDir::open(Arc::new(DiskFs), path)
    }

    fn refusal(path: &Path) -> OpenNodeDirError {
        open(path).err().expect("is refused")
    }

    #[test]
    fn keeps_its_identity_and_its_promise() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("deep/down");
        let id = {
            let node = open(&path).expect("opens");
            assert!(node.is_pristine());
            assert_ne!(node.node_id(), 0);
            assert_eq!(node.load_promise().expect("reads"), None);
            node.save_promise(b"one").expect("saves");
            node.save_promise(b"two").expect("saves");
            node.set_cluster_id(7).expect("sets");
            node.node_id()
        };
        let node = open(&path).expect("opens again");
        assert_eq!((node.node_id(), node.cluster_id()), (id, Some(7)));
        assert_eq!(
            node.load_promise().expect("reads").as_deref(),
            Some(&b"two"[..])
        );
        node.set_cluster_id(7).expect("the same id is no change");
        let refused = node.set_cluster_id(8).expect_err("another id is");
        assert!(refused.to_string().contains("cannot join"), "{refused}");
        assert_eq!(node.cluster_id(), Some(7));
    }

    #[test]
    fn two_new_nodes_have_different_ids() {
        let (a, b) = (
            tempfile::tempdir().expect("a"),
            tempfile::tempdir().expect("b"),
        );
        let ids = [&a, &b].map(|dir| open(dir.path()).expect("opens").node_id());
        assert_ne!(ids[0], ids[1]);
    }

    #[test]
    fn names_the_process_that_uses_the_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = open(dir.path()).expect("opens");
        let error = refusal(dir.path()).to_string();
        assert!(error.contains(&dir.path().display().to_string()), "{error}");
        assert!(
            error.contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        drop(first);
        open(dir.path()).expect("opens once it is free");
    }

    #[test]
    fn refuses_every_damaged_byte_and_every_shorter_file() {
        let dir = tempfile::tempdir().expect("a directory");
        drop(open(dir.path()).expect("opens"));
        let file = dir.path().join(NODE);
        let whole = std::fs::read(&file).expect("reads");
        let flips = (0..whole.len()).map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            bytes
        });
        let cuts = (0..whole.len()).map(|end| whole[..end].to_vec());
        let longer = [whole.iter().copied().chain([0]).collect()];
        for bytes in flips.chain(cuts).chain(longer) {
            std::fs::write(&file, &bytes).expect("writes");
            let error = refusal(dir.path());
            assert!(matches!(error, OpenNodeDirError::Damaged { .. }), "{error}");
            assert!(
                error.to_string().contains("empty data directory"),
                "{error}"
            );
            assert_eq!(
                std::fs::read(&file).expect("reads"),
                bytes,
                "is left as it was"
            );
        }
        std::fs::write(&file, &whole).expect("writes");
        open(dir.path()).expect("opens");
    }

    #[test]
    fn tells_a_newer_format_from_damage() {
        let dir = tempfile::tempdir().expect("a directory");
        drop(open(dir.path()).expect("opens"));
        let mut bytes = vec![1; 500];
        seal(&mut bytes, NODE_MAGIC);
        bytes[12..16].copy_from_slice(&9u32.to_le_bytes());
        let crc = crc32fast::hash(&bytes[12..]);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        std::fs::write(dir.path().join(NODE), &bytes).expect("writes");
        let error = refusal(dir.path()).to_string();
        assert!(error.contains("has format 9"), "{error}");
    }

    #[test]
    fn refuses_data_whose_node_is_unknown() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = open(dir.path()).expect("opens").log_dir();
        std::fs::remove_file(dir.path().join(NODE)).expect("removes");
        open(dir.path()).expect("empty directories are no data");
        std::fs::remove_file(dir.path().join(NODE)).expect("removes");
        std::fs::write(log.join("0000000000000001.wal"), b"x").expect("writes");
        let error = refusal(dir.path()).to_string();
        assert!(error.contains("0000000000000001.wal"), "{error}");
        assert!(!dir.path().join(NODE).exists(), "no new identity was made");
    }
}
