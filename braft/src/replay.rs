//! Replay before deploy: what this binary makes of a node's data, beside what was recorded.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;
use crate::machine::{Machine, Watch};
use crate::raft::replaying::{self, Beginning};
use crate::service::{Service, ServiceFactory, factory};
use crate::storage::fs::{Fs, OverlayFs};
use crate::storage::node_dir::NodeDir;
use crate::storage::snapshot::{SnapshotFile, SnapshotStore};
use crate::storage::wal::{LogEntry, Wal, WalOptions};

/// Bytes of entries read at once.
const READ_BYTES: u64 = 4 << 20;
/// Differences that are told; the others are counted.
const MAX_TOLD: usize = 20;

/// Prepares to run the data of a node through this binary. Nothing is ever written to the directory,
/// which has to be a copy or that of a node that is stopped.
///
/// ```no_run
/// # use braft::raft_service;
/// # use serde::{Deserialize, Serialize};
/// # #[raft_service]
/// # #[derive(Default, Serialize, Deserialize)]
/// # pub struct Counter { value: u64 }
/// # #[raft_service]
/// # impl Counter {
/// #     pub fn add(&mut self, by: u64) -> u64 { self.value += by; self.value }
/// # }
/// # fn example() -> Result<(), braft::Error> {
/// let replayed = braft::replay::<Counter>("copy-of-today").since("copy-of-yesterday").run()?;
/// println!("{replayed}");
/// assert!(replayed.is_same());
/// # Ok(()) }
/// ```
pub fn replay<S: Service>(dir: impl Into<PathBuf>) -> Replay {
    Replay {
        factories: vec![factory::<S>()],
        dir: dir.into(),
        earlier: None,
    }
}

/// What [`replay`] returns.
#[must_use = "nothing is replayed until it is run"]
pub struct Replay {
    factories: Vec<ServiceFactory>,
    dir: PathBuf,
    earlier: Option<PathBuf>,
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay")
            .field("dir", &self.dir)
            .field("earlier", &self.earlier)
            .finish_non_exhaustive()
    }
}

/// What a binary made of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replayed {
    /// The log index behind which it began; 0 for the beginning of the log.
    pub from: u64,
    /// The log index of the last entry that was carried out.
    pub to: u64,
    /// Entries that were carried out.
    pub entries: u64,
    /// Commands and other operations in them.
    pub operations: u64,
    /// The log index of the snapshot that the state and its answers were compared with; `None` if
    /// there was none behind the beginning, so that only this was shown: all entries can be read
    /// and carried out.
    pub compared_at: Option<u64>,
    /// Answers that were compared.
    pub answers: u64,
    /// What differs from what was recorded; at most 20, and then how many more there are.
    pub differences: Vec<String>,
}

impl Replayed {
    /// Whether something was compared, and nothing differs.
    pub fn is_same(&self) -> bool {
        self.compared_at.is_some() && self.differences.is_empty()
    }
}

impl std::fmt::Display for Replayed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} entries with {} operations were carried out, from log index {} to {}; ",
            self.entries, self.operations, self.from, self.to
        )?;
        match self.compared_at {
            None => f.write_str(
                "nothing was compared: the log does not reach back behind the snapshot; give an \
                 earlier copy of the directory",
            )?,
            Some(index) if self.differences.is_empty() => write!(
                f,
                "the state and {} answers are the same as in the snapshot at log index {index}",
                self.answers
            )?,
            Some(index) => write!(f, "this differs from the snapshot at log index {index}:")?,
        }
        self.differences
            .iter()
            .try_for_each(|difference| write!(f, "\n  {difference}"))
    }
}

impl Replay {
    /// With another service of the node. All that the data holds are needed.
    pub fn service<S: Service>(mut self) -> Self {
        self.factories.push(factory::<S>());
        self
    }

    /// Begins with the snapshot in an earlier copy of the directory, of the same node or of another
    /// one of its cluster.
    ///
    /// A node keeps one snapshot and the log behind it; so without an earlier copy there is
    /// something to compare only as long as the log reaches back to its beginning.
    pub fn since(mut self, earlier: impl Into<PathBuf>) -> Self {
        self.earlier = Some(earlier.into());
        self
    }

    /// Carries out all committed entries, and compares the state and the answers that are kept for
    /// retries with those in the later snapshot.
    ///
    /// # Errors
    /// If the data cannot be read, is in use, or belongs to two clusters, or if this binary cannot
    /// carry out an entry: the error says which one.
    pub fn run(self) -> Result<Replayed, Error> {
        let last = Data::open(&self.dir)?;
        let earlier = self.earlier.as_deref().map(Data::open).transpose()?;
        if let Some(other) = earlier
            .as_ref()
            .filter(|other| other.cluster != last.cluster)
        {
            return Err(Error::rejected(format!(
                "{} and {} belong to two clusters; give two copies of one",
                other.path.display(),
                last.path.display()
            )));
        }
        let machine = self.machine()?;
        let first = match &earlier {
            Some(earlier) => earlier.snapshot.as_ref(),
            None if last.reaches_back() => None,
            None => last.snapshot.as_ref(),
        };
        let from = first.map_or(Ok(None), |file| replaying::load(&machine, file));
        let from = from.map_err(fatal)?.map(|(_, index)| index);
        let recorded = last.snapshot.as_ref();
        let recorded = recorded.filter(|file| from.is_none_or(|from| file.last.index > from));

        let mut replayed = Replayed {
            from: from.unwrap_or(0),
            to: from.unwrap_or(0),
            entries: 0,
            operations: 0,
            compared_at: None,
            answers: 0,
            differences: Vec::new(),
        };
        let mut next = from.map_or(0, |from| from + 1);
        let sources: Vec<&Data> = [Some(&last), earlier.as_ref()]
            .into_iter()
            .flatten()
            .collect();
        if let Some(file) = recorded {
            carry_out(
                &machine,
                (&sources, first),
                next..file.last.index + 1,
                &mut replayed,
            )?;
            next = file.last.index + 1;
            self.compare(&machine, file, &mut replayed)?;
        }
        let end = last.committed.map_or(next, |committed| committed + 1);
        carry_out(&machine, (&sources, first), next..end, &mut replayed)?;
        Ok(replayed)
    }

    fn machine(&self) -> Result<Machine, Error> {
        Machine::new(self.factories.clone(), Watch::default())
            .map_err(|error| Error::rejected(error.to_string()))
    }

    fn compare(
        &self,
        machine: &Machine,
        file: &SnapshotFile,
        replayed: &mut Replayed,
    ) -> Result<(), Error> {
        let recorded = self.machine()?;
        replaying::load(&recorded, file).map_err(fatal)?;
        let comparison = machine.read().compare(&recorded.read())?;
        replayed.compared_at = Some(file.last.index);
        replayed.answers = comparison.answers;
        replayed.differences = comparison.differences;
        let more = replayed.differences.len().saturating_sub(MAX_TOLD);
        replayed.differences.truncate(MAX_TOLD);
        if more > 0 {
            replayed.differences.push(format!("and {more} more"));
        }
        Ok(())
    }
}

fn fatal(error: std::io::Error) -> Error {
    Error::fatal(error.to_string())
}

/// A data directory, opened without writing to it.
struct Data {
    path: PathBuf,
    cluster: u128,
    wal: Wal,
    snapshot: Option<SnapshotFile>,
    committed: Option<u64>,
    /// Holds the lock.
    _dir: NodeDir,
}

impl Data {
    fn open(path: &Path) -> Result<Self, Error> {
        let fs: Arc<dyn Fs> = Arc::new(OverlayFs::default());
        let failed = |error: &dyn std::error::Error| Error::fatal(error.to_string());
        let dir = NodeDir::open(fs.clone(), path).map_err(|error| failed(&error))?;
        let cluster = dir.cluster_id().ok_or_else(|| {
            Error::rejected(format!(
                "{} is not the data directory of a node that has been in a cluster",
                path.display()
            ))
        })?;
        let snapshots = SnapshotStore::open(fs.clone(), &dir.snapshot_dir());
        let snapshots = snapshots.map_err(|error| failed(&error))?;
        let options = WalOptions {
            inline: true,
            ..WalOptions::default()
        };
        let wal = Wal::open(fs, &dir.log_dir(), options).map_err(|error| failed(&error))?;
        Ok(Data {
            path: path.to_path_buf(),
            cluster,
            committed: wal.committed().map(|id| id.index),
            snapshot: snapshots.current(),
            wal,
            _dir: dir,
        })
    }

    /// Whether the log holds all entries from the first one on.
    fn reaches_back(&self) -> bool {
        self.wal.state().last_purged.is_none()
    }

    /// Committed entries from the start of a range on; none if the first is not there.
    fn read(&self, range: Range<u64>) -> Result<Vec<LogEntry>, Error> {
        let committed = self.snapshot.as_ref().map(|file| file.last.index);
        let end = committed.max(self.committed).map_or(0, |last| last + 1);
        let range = range.start..range.end.min(end);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        self.wal.read(range, READ_BYTES).map_err(fatal)
    }
}

/// Entries from the start of a range on, from the first source that has it.
fn read(sources: &[&Data], range: Range<u64>) -> Result<Vec<LogEntry>, Error> {
    for source in sources {
        let entries = source.read(range.clone())?;
        if !entries.is_empty() {
            return Ok(entries);
        }
    }
    Ok(Vec::new())
}

fn carry_out(
    machine: &Machine,
    (sources, first): (&[&Data], Option<&SnapshotFile>),
    range: Range<u64>,
    replayed: &mut Replayed,
) -> Result<(), Error> {
    let again = |range: Range<u64>| {
        read(sources, range).map_err(|error| std::io::Error::other(error.to_string()))
    };
    let beginning = Beginning {
        snapshot: first,
        read: &again,
    };
    let mut next = range.start;
    while next < range.end {
        let entries = read(sources, next..range.end)?;
        if entries.is_empty() {
            return Err(Error::rejected(format!(
                "log entry {next} is in no directory given: the earlier copy is too old for the \
                 later one; take copies closer to each other"
            )));
        }
        for entry in entries {
            next = entry.id.index + 1;
            replayed.to = entry.id.index;
            replayed.entries += 1;
            replayed.operations +=
                replaying::apply(machine, entry, &beginning).map_err(fatal)? as u64;
        }
    }
    Ok(())
}
