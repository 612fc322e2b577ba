//! The log and the snapshot of a node that is a cluster of its own.

use std::path::Path;
use std::sync::{Arc, mpsc};

use super::{Progress, disk, failed};
use crate::codec;
use crate::error::Error;
use crate::machine::{SESSIONS_SECTION, SnapshotHeader};
use crate::member::{Members, NodeInfo};
use crate::session::Sessions;
use crate::storage::fs::DiskFs;
use crate::storage::node_dir::Identity;
use crate::storage::snapshot::{SnapshotFile, SnapshotStore};
use crate::storage::wal::{Done, LogEntry, LogId, Vote, Wal, WalOptions};

/// By how many terms a new cluster begins behind those of the old one that are known: what the old
/// one was still to number has smaller fencing numbers.
pub(super) const TERM_GAP: u64 = 1 << 20;
/// The least length of a log segment.
const SEGMENT_BYTES: u64 = 8 << 20;
/// Room in a segment beside its largest entry.
const SEGMENT_MARGIN: u64 = 1 << 20;
/// Where a node is said to be until it says so itself, which it does as soon as it leads.
const UNKNOWN_ADDRESS: &str = "127.0.0.1:15000";

/// A new node of a new cluster.
pub(super) fn new_identity() -> Result<Identity, Error> {
    let none = |error: std::io::Error| {
        Error::fatal(format!(
            "the operating system gives no random numbers: {error}"
        ))
    };
    let half = || crate::world::random().map_err(none);
    let cluster_id = (u128::from(half()?) << 64) | u128::from(half()?);
    Ok(Identity {
        cluster_id: Some(cluster_id),
        ..Identity::random().map_err(none)?
    })
}

/// The members of a cluster that consists of this node.
pub(super) fn members(node_id: u64, info: Option<NodeInfo>) -> Members {
    let info = info.unwrap_or_else(|| NodeInfo {
        name: String::new(),
        name_is_chosen: false,
        address: UNKNOWN_ADDRESS.to_owned(),
        http_address: String::new(),
    });
    Members {
        configs: vec![[node_id].into()],
        nodes: [(node_id, info)].into(),
    }
}

/// What becomes of the sessions in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeepSessions {
    /// The log behind it goes on with them.
    Yes,
    No,
}

/// Writes a snapshot anew under another header and log id.
pub(super) fn rewrite_snapshot(
    from: &SnapshotFile,
    to: &Path,
    header: &SnapshotHeader,
    last: LogId,
    keep: KeepSessions,
    progress: Progress<'_>,
) -> Result<SnapshotFile, Error> {
    let store = SnapshotStore::open(Arc::new(DiskFs), to).map_err(failed)?;
    let meta = codec::encode(header).map_err(failed)?;
    let mut writer = store.create(last, &meta).map_err(failed)?;
    let mut sections = from.sections();
    while let Some((name, mut content)) = sections.next_section().map_err(failed)? {
        let mut section = writer.section(&name).map_err(failed)?;
        if name == SESSIONS_SECTION && keep == KeepSessions::No {
            codec::encode_into(&Sessions::default(), &mut section).map_err(failed)?;
            continue;
        }
        let bytes = std::io::copy(&mut content, &mut section).map_err(|error| disk(to, &error))?;
        progress(bytes);
    }
    writer.finish().map_err(failed)
}

/// A log under construction.
pub(super) struct NewLog<'a> {
    wal: Wal,
    dir: &'a Path,
}

impl<'a> NewLog<'a> {
    /// Begins a log behind what a snapshot holds. `largest` is the size of its largest entry.
    pub(super) fn begin(dir: &'a Path, behind: Option<LogId>, largest: u64) -> Result<Self, Error> {
        let options = WalOptions {
            segment_bytes: SEGMENT_BYTES.max(largest + SEGMENT_MARGIN),
            inline: true,
            ..WalOptions::default()
        };
        let wal = Wal::open(Arc::new(DiskFs), dir, options).map_err(failed)?;
        let log = NewLog { wal, dir };
        if let Some(behind) = behind {
            log.done(|wal, done| wal.purge(behind, done))?;
        }
        Ok(log)
    }

    fn done(&self, write: impl FnOnce(&Wal, Done) -> std::io::Result<()>) -> Result<(), Error> {
        let (done, written) = mpsc::channel();
        let done = Box::new(move |result| drop(done.send(result)));
        write(&self.wal, done).map_err(|error| disk(self.dir, &error))?;
        let written = written
            .recv()
            .map_err(|_| Error::fatal(format!("{}: the log was closed", self.dir.display())))?;
        written.map_err(|error| disk(self.dir, &error))
    }

    pub(super) fn append(&self, entries: Vec<LogEntry>) -> Result<(), Error> {
        self.done(|wal, done| wal.append(entries, done))
    }

    /// Ends the log of a node that votes for itself from this term on.
    pub(super) fn finish(
        self,
        node_id: u64,
        term: u64,
        committed: Option<LogId>,
    ) -> Result<(), Error> {
        let vote = Vote {
            term,
            voted_for: Some(node_id),
            committed: false,
        };
        self.done(|wal, done| {
            wal.save_vote(vote, done);
            Ok(())
        })?;
        self.wal.save_committed(committed);
        self.wal.close();
        match self.wal.failed() {
            None => Ok(()),
            Some(failure) => Err(Error::fatal(failure.to_string())),
        }
    }
}
