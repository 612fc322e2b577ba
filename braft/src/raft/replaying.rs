//! A log and a snapshot carried out without raft: what a binary makes of a data directory.

use std::io;

use super::encoding;
use super::state_machine::{apply_entry, load_file};
use crate::machine::Machine;
use crate::storage::snapshot::SnapshotFile;
use crate::storage::wal::LogEntry;

/// Loads a snapshot of any cluster into a machine. Gives the log id of its last entry.
pub(crate) fn load(machine: &Machine, file: &SnapshotFile) -> io::Result<Option<(u64, u64)>> {
    load_file(machine, None, file)
}

/// Carries out a committed entry; how many operations it held.
pub(crate) fn apply(machine: &Machine, entry: LogEntry) -> io::Result<usize> {
    let LogEntry { id, kind, payload } = entry;
    let entry = encoding::decode(id.term, id.index, u32::from(kind), payload);
    let entry = entry.map_err(io::Error::other)?;
    let answers = apply_entry(machine, &entry).map_err(io::Error::other)?;
    Ok(answers.len())
}
