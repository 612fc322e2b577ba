//! A data directory that is only read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Progress, disk, failed};
use crate::error::Error;
use crate::member::Members;
use crate::raft::{Content, content};
use crate::storage::fs::{Fs, FsFile, OverlayFs};
use crate::storage::node_dir::{self, Identity};
use crate::storage::snapshot::{SnapshotFile, SnapshotStore};
use crate::storage::wal::{LogEntry, LogId, Vote, Wal, WalOptions, WalState};

/// Bytes of entries read at once.
const READ_BYTES: u64 = 4 << 20;

/// A directory in which no node runs, for as long as this lives. Nothing is written to it.
pub(crate) struct Opened {
    pub(crate) path: PathBuf,
    pub(crate) identity: Identity,
    pub(crate) snapshot: Option<SnapshotFile>,
    wal: Wal,
    /// Holds the lock.
    _lock: Arc<dyn FsFile>,
}

/// What reading the whole log has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    /// Bytes of the largest entry.
    pub(crate) largest: u64,
    pub(crate) first: Option<u64>,
    /// The latest members that the log names.
    pub(crate) members: Option<Members>,
}

impl Opened {
    /// Opens a directory; `lock_in` is where the lock is taken: on the disk by whoever is going to
    /// write.
    pub(crate) fn open(lock_in: &dyn Fs, path: &Path) -> Result<Self, Error> {
        let none = || {
            Error::rejected(format!(
                "{} is not the data directory of a node; give the one that BRAFT_DATA_DIR names \
                 there",
                path.display()
            ))
        };
        let overlay = OverlayFs::default();
        let is_node = overlay.exists(&path.join(node_dir::NODE));
        if !is_node.map_err(|error| disk(path, &error))? {
            node_dir::check_finished(&overlay, path).map_err(failed)?;
            return Err(none());
        }
        let lock = node_dir::lock(lock_in, path).map_err(failed)?;
        let identity = node_dir::identity_in(&overlay, path).map_err(failed)?;
        let identity = identity.ok_or_else(none)?;
        let fs: Arc<dyn Fs> = Arc::new(overlay);
        let snapshots = SnapshotStore::open(fs.clone(), &path.join(node_dir::SNAPSHOTS));
        let snapshots = snapshots.map_err(failed)?;
        let options = WalOptions {
            inline: true,
            ..WalOptions::default()
        };
        let wal = Wal::open(fs, &path.join(node_dir::LOG), options).map_err(failed)?;
        Ok(Opened {
            path: path.to_path_buf(),
            identity,
            snapshot: snapshots.current(),
            wal,
            _lock: lock,
        })
    }

    pub(crate) fn log(&self) -> WalState {
        self.wal.state()
    }

    /// Up to where this node knew the log to be committed, its snapshot included.
    pub(crate) fn committed(&self) -> Option<LogId> {
        let snapshot = self.snapshot.as_ref().map(|file| file.last);
        self.wal.committed().max(snapshot)
    }

    /// The last log id of log and snapshot together.
    pub(crate) fn last(&self) -> Option<LogId> {
        let snapshot = self.snapshot.as_ref().map(|file| file.last);
        self.wal.state().last.max(snapshot)
    }

    pub(crate) fn vote(&self) -> Option<Vote> {
        self.wal.read_vote()
    }

    /// Goes through the entries from an index on, until `each` says that it is enough.
    pub(crate) fn entries(
        &self,
        from: u64,
        each: &mut dyn FnMut(LogEntry) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let WalState { last_purged, last } = self.wal.state();
        let first = last_purged.map_or(0, |purged| purged.index + 1);
        let end = last.map_or(0, |last| last.index + 1);
        let mut next = from.max(first);
        while next < end {
            let read = self.wal.read(next..end, READ_BYTES);
            let entries = read.map_err(|error| disk(&self.path, &error))?;
            if entries.is_empty() {
                return Err(Error::fatal(format!(
                    "log entry {next} in {} cannot be read",
                    self.path.display()
                )));
            }
            for entry in entries {
                next = entry.id.index + 1;
                if !each(entry)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Reads every entry, and checks that it is one.
    pub(crate) fn scan(&self, progress: Progress<'_>) -> Result<Scan, Error> {
        let mut scan = Scan::default();
        self.entries(0, &mut |entry| {
            let bytes = entry.payload.len() as u64;
            scan.first.get_or_insert(entry.id.index);
            scan.entries += 1;
            scan.bytes += bytes;
            scan.largest = scan.largest.max(bytes);
            if let Content::Members(members) = content(&entry).map_err(failed)? {
                scan.members = Some(members);
            }
            progress(bytes);
            Ok(true)
        })?;
        Ok(scan)
    }
}
