//! A log and a snapshot carried out without raft: what a binary makes of a data directory.

use std::io;
use std::ops::Range;

use super::encoding;
use super::past::give;
use super::snapshot_reading::read_replica;
use super::state_machine::apply_entry;
use crate::machine::{Logged, Machine, Past, Replica};
use crate::storage::snapshot::SnapshotFile;
use crate::storage::wal::LogEntry;

/// Stands for the node that a replay does not have.
const NO_NODE: u64 = 0;

/// Where a replay reads what it has carried out before, for a command that panics.
pub(crate) struct Beginning<'a> {
    /// What it began with.
    pub(crate) snapshot: Option<&'a SnapshotFile>,
    /// Reads entries of a range, in order; some of them, or none if the first is not there.
    pub(crate) read: &'a dyn Fn(Range<u64>) -> io::Result<Vec<LogEntry>>,
}

impl Past for Beginning<'_> {
    fn newest_snapshot(&self, machine: &Machine) -> io::Result<Option<Replica>> {
        let replica = self
            .snapshot
            .map(|file| read_replica(machine, None, NO_NODE, file));
        replica.transpose()
    }

    fn entries(
        &self,
        from: u64,
        before: u64,
        each: &mut dyn FnMut((u64, u64), Logged) -> bool,
    ) -> io::Result<()> {
        give(from..before, self.read, each)
    }
}

/// Loads a snapshot of any cluster into a machine. Gives the log id of its last entry.
pub(crate) fn load(machine: &Machine, file: &SnapshotFile) -> io::Result<Option<(u64, u64)>> {
    let replica = read_replica(machine, None, NO_NODE, file)?;
    let applied = replica.applied();
    machine.replace(replica);
    Ok(applied)
}

/// Carries out a committed entry; how many operations it held.
pub(crate) fn apply(
    machine: &Machine,
    entry: LogEntry,
    beginning: &Beginning<'_>,
) -> io::Result<usize> {
    let LogEntry { id, kind, payload } = entry;
    let entry = encoding::decode(id.term, id.index, u32::from(kind), payload);
    let entry = entry.map_err(io::Error::other)?;
    let answers = apply_entry(machine, &entry, beginning).map_err(io::Error::other)?;
    match (answers, machine.read().halted()) {
        (Some(answers), _) => Ok(answers.len()),
        (None, Some(why)) => Err(io::Error::other(why.to_owned())),
        (None, None) => Ok(0),
    }
}
