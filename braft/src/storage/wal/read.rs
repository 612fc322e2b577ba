//! Reads entries: from memory one by one, from disk by runs.

use std::io;
use std::ops::Range;

use super::index::Run;
use super::record::Record;
use super::segment::BatchError;
use super::segment::Reader;
use super::types::LogEntry;
use crate::storage::fs::named;

/// Entries collected by a read.
pub(super) struct Collected {
    pub(super) entries: Vec<LogEntry>,
    /// Index of the entry that is wanted next.
    pub(super) next: u64,
    end: u64,
    bytes: u64,
    max_bytes: u64,
    /// Nothing more is wanted.
    pub(super) full: bool,
}

impl Collected {
    pub(super) fn new(range: Range<u64>, max_bytes: u64) -> Self {
        Self {
            entries: Vec::new(),
            next: range.start,
            end: range.end,
            bytes: 0,
            max_bytes,
            full: range.is_empty(),
        }
    }

    /// Takes the entry if it is the next and there is room; says whether to go on.
    pub(super) fn take(&mut self, entry: &LogEntry) -> bool {
        if self.full || entry.id.index != self.next {
            return !self.full;
        }
        let bytes = self.bytes + entry.payload.len() as u64;
        if bytes > self.max_bytes && !self.entries.is_empty() {
            self.full = true;
            return false;
        }
        self.entries.push(entry.clone());
        self.bytes = bytes;
        self.next += 1;
        self.full = self.next >= self.end;
        !self.full
    }
}

/// Reads from disk until the run's end or until enough is collected.
pub(super) fn read_run(run: &Run, out: &mut Collected) -> io::Result<()> {
    let mut reader = Reader::new(&run.segment);
    let mut offset = run.offset;
    while out.next < run.end && !out.full {
        let batch = match reader.batch(offset) {
            Ok(batch) if !batch.header.seal => batch,
            Ok(_) => return Err(lost(out.next, "its segment ends before it")),
            Err(BatchError::Io(error)) => return Err(named(&run.segment.path, error)),
            Err(BatchError::Damaged(at)) => {
                let path = run.segment.path.display();
                return Err(lost(out.next, &format!("{path} is damaged at byte {at}")));
            }
        };
        for record in &batch.records {
            if let Record::Entry(entry) = record
                && entry.id.index < run.end
                && !out.take(entry)
            {
                return Ok(());
            }
        }
        offset += batch.header.total_bytes();
    }
    Ok(())
}

pub(super) fn lost(index: u64, why: &str) -> io::Error {
    let message = format!("entry {index} cannot be read: {why}");
    io::Error::new(io::ErrorKind::InvalidData, message)
}
