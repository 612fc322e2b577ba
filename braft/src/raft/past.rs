//! What a state is made of anew: the newest snapshot file, and the log.

use std::io;
use std::ops::Range;

use openraft::EntryPayload;

use super::encoding;
use super::state_machine::StateMachine;
use super::types::members_of;
use crate::machine::{Logged, Machine, Past, Replica};
use crate::storage::wal::LogEntry;

/// Bytes of entries read at once.
const READ_BYTES: u64 = 4 << 20;

impl Past for StateMachine {
    fn newest_snapshot(&self, machine: &Machine) -> io::Result<Option<Replica>> {
        let file = self.shared.snapshots.current();
        let replica = file.map(|file| self.read_replica(machine, &file));
        replica.transpose()
    }

    fn entries(
        &self,
        from: u64,
        before: u64,
        each: &mut dyn FnMut((u64, u64), Logged) -> bool,
    ) -> io::Result<()> {
        let read = |range: Range<u64>| self.shared.wal.read(range, READ_BYTES);
        give(from..before, read, each)
    }
}

/// Reads entries piece by piece and gives them on, until there are no more or `each` returns false.
pub(super) fn give(
    range: Range<u64>,
    read: impl Fn(Range<u64>) -> io::Result<Vec<LogEntry>>,
    each: &mut dyn FnMut((u64, u64), Logged) -> bool,
) -> io::Result<()> {
    let mut next = range.start;
    while next < range.end {
        let entries = read(next..range.end)?;
        if entries.is_empty() {
            return Ok(());
        }
        for entry in entries {
            let (id, logged) = logged(entry)?;
            if !each(id, logged) {
                return Ok(());
            }
            next = id.1 + 1;
        }
    }
    Ok(())
}

/// An entry of the log, with its log id.
fn logged(entry: LogEntry) -> io::Result<((u64, u64), Logged)> {
    let id = (entry.id.term, entry.id.index);
    let decoded =
        encoding::decode(id.0, id.1, entry.kind.into(), entry.payload).map_err(io::Error::other)?;
    let logged = match decoded.payload {
        EntryPayload::Blank => Logged::Blank,
        EntryPayload::Normal(batch) => Logged::Batch(batch.0),
        EntryPayload::Membership(members) => Logged::Members(members_of(&members)),
    };
    Ok((id, logged))
}
