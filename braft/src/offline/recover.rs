//! A node's data directory becomes a cluster of its own, when most of the cluster is lost for good.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::alone::{self, KeepSessions, NewLog, TERM_GAP};
use super::swap;
use super::{Opened, Progress, Scan, disk, failed};
use crate::codec;
use crate::error::Error;
use crate::machine::SnapshotHeader;
use crate::member::Members;
use crate::raft::members_entry;
use crate::storage::fs::{DiskFs, Fs, FsFile};
use crate::storage::node_dir::{self, Identity, Stage, Unfinished};
use crate::storage::wal::{LogEntry, LogId};

/// Bytes of entries written at once.
const WRITE_BYTES: u64 = 4 << 20;

/// A recovery that was looked at, and is carried out once somebody has agreed to it.
pub(crate) enum Recovery {
    /// Nothing was begun yet, or nothing that counts.
    New(Box<Outlook>),
    /// The new data is complete: there is nothing left to agree to.
    Begun {
        dir: PathBuf,
        stage: Stage,
        kept_in: String,
        _lock: Arc<dyn FsFile>,
    },
}

/// What is in the directory, and what would become of it.
pub(crate) struct Outlook {
    opened: Opened,
    /// One was begun and cut short before anything was moved.
    is_begun: bool,
    header: Option<SnapshotHeader>,
    pub(crate) scan: Scan,
    /// The members of the cluster as this node knows them.
    pub(crate) members: Members,
    pub(crate) cluster_id: u128,
    pub(crate) node_id: u64,
    pub(crate) last: LogId,
    /// Up to where this node knew the log to be committed.
    pub(crate) committed: Option<LogId>,
    /// The term that it voted in last.
    pub(crate) voted_in: u64,
    /// How its state differed from the majority's, as far as its snapshot knows.
    pub(crate) diverged: bool,
}

/// What was made of the directory.
#[derive(Clone, Debug)]
pub(crate) struct Recovered {
    pub(crate) identity: Identity,
    /// Where the old data is.
    pub(crate) kept_in: PathBuf,
}

impl Recovery {
    /// Looks at a directory. Nothing is changed in it.
    pub(crate) fn of(dir: &Path, progress: Progress<'_>) -> Result<Self, Error> {
        let is_begun = match Unfinished::read(&DiskFs, dir).map_err(failed)? {
            Some(Unfinished::Restore) => {
                return Err(Error::rejected(format!(
                    "{} was to be filled from a backup, and was not: there is nothing to recover in \
                     it; run `braft restore` again",
                    dir.display()
                )));
            }
            Some(Unfinished::Recover { stage, kept_in }) if stage != Stage::Building => {
                return Ok(Recovery::Begun {
                    _lock: node_dir::lock(&DiskFs, dir).map_err(failed)?,
                    dir: dir.to_path_buf(),
                    stage,
                    kept_in,
                });
            }
            Some(Unfinished::Recover { .. }) => true,
            None => false,
        };
        let opened = Opened::open(&DiskFs, dir)?;
        let outlook = Outlook::of(opened, is_begun, progress)?;
        Ok(Recovery::New(Box::new(outlook)))
    }

    /// Somebody does not want it: the directory is left to the node that was in it.
    pub(crate) fn decline(self) -> Result<(), Error> {
        match self {
            Recovery::New(outlook) if outlook.is_begun => {
                let dir = &outlook.opened.path;
                swap::withdraw(dir).map_err(|error| disk(dir, &error))
            }
            Recovery::New(_) | Recovery::Begun { .. } => Ok(()),
        }
    }

    /// Carries it out. What was there stays, in a directory beside it.
    pub(crate) fn carry_out(self, progress: Progress<'_>) -> Result<Recovered, Error> {
        match self {
            Recovery::New(outlook) => outlook.carry_out(progress),
            Recovery::Begun {
                dir,
                stage,
                kept_in,
                _lock,
            } => finish(&dir, &kept_in, stage),
        }
    }
}

impl Outlook {
    fn of(opened: Opened, is_begun: bool, progress: Progress<'_>) -> Result<Self, Error> {
        let dir = opened.path.display();
        let cluster_id = opened.identity.cluster_id.ok_or_else(|| {
            Error::rejected(format!(
                "the node in {dir} was never in a cluster: there is nothing to recover"
            ))
        })?;
        let last = opened.last().ok_or_else(|| {
            Error::rejected(format!(
                "the log in {dir} is empty: there is nothing to recover"
            ))
        })?;
        let header: Option<SnapshotHeader> = match &opened.snapshot {
            Some(file) => {
                file.verify().map_err(failed)?;
                Some(codec::decode(&file.meta).map_err(failed)?)
            }
            None => None,
        };
        let snapshot = opened.snapshot.as_ref().map(|file| file.last.index);
        let purged = opened.log().last_purged.map(|purged| purged.index);
        if purged > snapshot {
            return Err(Error::rejected(format!(
                "the log in {dir} begins behind {} and no snapshot reaches that far: a state cannot \
                 be made of it; recover another node",
                purged.unwrap_or_default()
            )));
        }
        let scan = opened.scan(progress)?;
        let stored = header.as_ref().map(|header| header.members.members.clone());
        let members = scan.members.clone().or(stored).unwrap_or_default();
        let node_id = opened.identity.node_id;
        let diverged = header
            .as_ref()
            .is_some_and(|header| header.comparison.diverged(node_id).is_some());
        Ok(Outlook {
            cluster_id,
            node_id,
            last,
            committed: opened.committed(),
            voted_in: opened.vote().map_or(0, |vote| vote.term),
            diverged,
            members,
            scan,
            header,
            is_begun,
            opened,
        })
    }

    /// Entries that nobody may ever have been told of: they are kept.
    pub(crate) fn uncommitted(&self) -> u64 {
        let committed = self.committed.map_or(0, |id| id.index + 1);
        (self.last.index + 1).saturating_sub(committed)
    }

    fn carry_out(&self, progress: Progress<'_>) -> Result<Recovered, Error> {
        let dir = &self.opened.path;
        let kept_in = format!("before-recovery-{:032x}", self.cluster_id);
        let io = |error: std::io::Error| disk(dir, &error);
        swap::begin(dir, &kept_in).map_err(io)?;
        swap::discard(dir).map_err(io)?;
        if let Err(error) = self.build(&dir.join(swap::NEW), progress) {
            // The old data was not touched, and may be started again.
            swap::withdraw(dir).map_err(io)?;
            return Err(error);
        }
        finish(dir, &kept_in, Stage::Building)
    }

    /// Writes the directory of the new node.
    fn build(&self, new: &Path, progress: Progress<'_>) -> Result<(), Error> {
        let identity = alone::new_identity()?;
        let cluster_id = identity.cluster_id.expect("it has just been drawn");
        let behind = match (&self.opened.snapshot, &self.header) {
            (Some(file), Some(header)) => {
                // As it was, but for the cluster: what the log says about it comes behind it.
                let header = SnapshotHeader {
                    cluster_id: format!("{cluster_id:032x}"),
                    ..header.clone()
                };
                let (to, keep) = (new.join(node_dir::SNAPSHOTS), KeepSessions::Yes);
                alone::rewrite_snapshot(file, &to, &header, file.last, keep, progress)?;
                Some(file.last)
            }
            _ => None,
        };
        let log = new.join(node_dir::LOG);
        let log = NewLog::begin(&log, behind, self.scan.largest)?;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let from = behind.map_or(0, |last| last.index + 1);
        self.opened.entries(from, &mut |entry: LogEntry| {
            bytes += entry.payload.len() as u64;
            batch.push(entry);
            if bytes >= WRITE_BYTES {
                log.append(std::mem::take(&mut batch))?;
                progress(std::mem::take(&mut bytes));
            }
            Ok(true)
        })?;
        let term = self.last.term.max(self.voted_in) + TERM_GAP;
        let id = LogId {
            term,
            index: self.last.index + 1,
        };
        let info = self.members.nodes.get(&self.node_id).cloned();
        let members = alone::members(identity.node_id, info);
        batch.push(members_entry(id, &members));
        log.append(batch)?;
        log.finish(identity.node_id, term, self.committed)?;
        let named = node_dir::write_identity(&DiskFs, new, identity);
        named
            .and_then(|()| DiskFs.sync_dir(new))
            .map_err(|error| disk(new, &error))
    }
}

fn finish(dir: &Path, kept_in: &str, stage: Stage) -> Result<Recovered, Error> {
    let io = |error: std::io::Error| {
        Error::fatal(format!(
            "{}: {error}; the old data is in it or in {kept_in}, nothing is lost: run the recovery \
             again",
            dir.display()
        ))
    };
    swap::finish(dir, kept_in, stage, &mut |_| Ok(())).map_err(io)?;
    let identity = node_dir::identity_in(&DiskFs, dir).map_err(failed)?;
    Ok(Recovered {
        identity: identity.ok_or_else(|| Error::fatal("the new node has no identity"))?,
        kept_in: dir.join(kept_in),
    })
}
