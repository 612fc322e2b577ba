//! The logs and states of nodes, read as the nodes read them; what cannot be read is noted.

use std::cell::RefCell;
use std::fmt;

use bytes::Bytes;

use super::super::record::Record;
use super::logs::{Log, View};
use crate::raft::{RaftNode, Role};
use crate::testing::cluster::TestNode;
use crate::world;

/// The log and the state of a node as they are read now.
pub(super) struct Reading<'a> {
    place: TestNode,
    raft: &'a RaftNode,
    /// What could not be read, and why; the first of it.
    failed: RefCell<Option<String>>,
}

impl<'a> Reading<'a> {
    pub(super) fn of(place: TestNode, raft: &'a RaftNode) -> Self {
        Reading {
            place,
            raft,
            failed: RefCell::default(),
        }
    }

    /// The value, if it was read.
    fn read<T>(&self, what: &str, result: Result<T, impl fmt::Display>) -> Option<T> {
        let note = |error| {
            let mut failed = self.failed.borrow_mut();
            failed.get_or_insert_with(|| {
                format!("node {} cannot read {what}: {error}", self.place.0)
            });
        };
        result.map_err(note).ok()
    }

    fn failure(&self) -> Option<String> {
        self.failed.borrow().clone()
    }
}

/// Notes what could not be read, and no fault is a reason for it.
pub(super) fn note_unread(
    logs: &[Reading<'_>],
    record: &Record,
    is_at_fault: impl Fn(TestNode) -> bool,
) {
    for log in logs {
        if let Some(text) = log.failure().filter(|_| !is_at_fault(log.place)) {
            record.broke(text);
        }
    }
}

pub(super) fn view_of<'a>(log: &'a Reading<'_>) -> View<'a> {
    let raft = log.raft;
    let view = raft.view();
    View {
        place: log.place.0,
        term: view.term,
        leads: view.role == Role::Leader,
        committed: view.committed,
        applied: raft.applied_index(),
        last: raft.wal().state().last.map_or(0, |last| last.index),
        log,
    }
}

impl Log for Reading<'_> {
    fn term_at(&self, index: u64) -> Option<u64> {
        self.read("the terms of its log", self.raft.wal().term_at(index))?
    }

    fn content(&self, index: u64) -> Option<(u8, Bytes)> {
        let read = self.raft.wal().read(index..index + 1, u64::MAX);
        let entry = self.read("its log", read)?.into_iter().next()?;
        Some((entry.kind, entry.payload))
    }

    /// Where the looker has a thread of its own nobody may be waited for.
    fn digest(&self) -> Option<(u64, u64)> {
        let raft = self.raft;
        if !world::is_simulated() || raft.halted().is_some() || raft.out_of_service().is_some() {
            return None;
        }
        let (applied, digest) = self.read("its state", raft.machine().digest())?;
        Some((applied?.1, digest))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::super::stage::play;
    use super::*;

    fn text(record: &Record) -> Option<String> {
        record.read().1.map(|difference| difference.text)
    }

    #[test]
    fn what_cannot_be_read_is_noted_unless_that_disk_is_at_fault() {
        play(10, async |stage| {
            let place = TestNode(1);
            let node = stage.cluster.node(place)?;
            let raft = node.core().raft().ok_or("it has no raft")?;
            let logs = [Reading::of(place, raft)];
            let record = Record::new("S");
            assert!(logs[0].content(1).is_some());
            note_unread(&logs, &record, |_| false);
            assert_eq!(text(&record), None);
            let failed = Err::<(), _>(io::Error::other("injected fault"));
            assert_eq!(logs[0].read("its log", failed), None);
            note_unread(&logs, &record, |at| at == place);
            assert_eq!(text(&record), None);
            note_unread(&logs, &record, |_| false);
            let expected = "node 1 cannot read its log: injected fault";
            assert_eq!(text(&record).as_deref(), Some(expected));
            Ok(())
        });
    }
}
