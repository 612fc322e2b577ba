//! What the batches on disk add up to.

use std::io;
use std::sync::Arc;

use super::index::Index;
use super::record::Record;
use super::segment::BatchError;
use super::segment::Reader;
use super::segment::SEGMENT_HEADER;
use super::segment::Segment;
use super::segment::SegmentHeader;
use super::types::LogId;
use super::types::WalOptions;
use super::types::WalState;
use super::view::View;
use super::writer::Position;
use crate::storage::fs::named;

/// The state of a log while its batches are read in order.
pub(super) struct Replay {
    pub(super) view: View,
    pub(super) index: Index,
    /// Sequence number of the batch that comes next.
    pub(super) sequence: u64,
    /// Segments that hold nothing but purged entries.
    pub(super) void: Vec<Arc<Segment>>,
    committed: Option<LogId>,
    /// Entries up to this one existed before the first segment began.
    before: Option<LogId>,
    cache_bytes: u64,
}

/// How a segment ends.
pub(super) enum End {
    /// By a seal: the log goes on in the next segment.
    Sealed,
    /// There is no whole batch at `offset`; `bad` is the first byte that is wrong.
    Open { offset: u64, bad: u64 },
    /// An undamaged batch that cannot follow the ones before it.
    Contradiction { offset: u64, what: String },
}

impl Replay {
    /// Starts with what the first segment's header says.
    pub(super) fn new(first: &SegmentHeader, options: &WalOptions) -> Self {
        let (last_purged, last) = (first.purged, first.last);
        Self {
            view: View::starting(WalState { last_purged, last }),
            index: Index::default(),
            sequence: first.first_batch,
            void: Vec::new(),
            committed: first.committed,
            before: first.last,
            cache_bytes: options.cache_bytes,
        }
    }

    /// Reads a segment up to its end.
    pub(super) fn segment(&mut self, segment: &Segment) -> io::Result<End> {
        let mut reader = Reader::new(segment);
        let mut offset = SEGMENT_HEADER as u64;
        loop {
            let batch = match reader.batch(offset) {
                Ok(batch) => batch,
                Err(BatchError::Io(error)) => return Err(named(&segment.path, error)),
                Err(BatchError::Damaged(bad)) => return Ok(End::Open { offset, bad }),
            };
            if batch.header.sequence != self.sequence {
                return Ok(End::Open {
                    offset,
                    bad: offset,
                });
            }
            if batch.header.seal {
                return Ok(End::Sealed);
            }
            if let Err(what) = self.batch(batch.records, offset) {
                return Ok(End::Contradiction { offset, what });
            }
            self.committed = batch.header.committed.or(self.committed);
            self.sequence += 1;
            offset += batch.header.total_bytes();
        }
    }

    fn batch(&mut self, records: Vec<Record>, offset: u64) -> Result<(), String> {
        let mut entries: Option<(u64, u64)> = None;
        for record in records {
            match record {
                Record::Entry(entry) => {
                    let index = entry.id.index;
                    let entry = [entry];
                    self.view
                        .check_append(&entry)
                        .map_err(|error| error.to_string())?;
                    let [entry] = entry;
                    self.view.append(entry);
                    entries = Some((entries.map_or(index, |(first, _)| first), index));
                }
                Record::Truncate(last) => {
                    self.view.truncate(last);
                    self.index.truncate(last);
                    self.before = self.before.min(last);
                }
                Record::Purge(upto) => {
                    self.view.purge(upto);
                    self.void.extend(self.index.purge(upto));
                }
            }
        }
        if let Some((first, last)) = entries {
            self.index.wrote(first, last, offset);
            self.view.evict(self.cache_bytes, last);
        }
        Ok(())
    }

    /// The last of the entries that should be there and lie before the first segment.
    pub(super) fn uncovered(&self) -> Option<LogId> {
        let purged = self.view.state().last_purged;
        let covered = |before: &LogId| purged.is_some_and(|purged| before.index <= purged.index);
        self.before.filter(|before| !covered(before))
    }

    /// The commit index, as far as it speaks of entries that are here: it is written ahead of
    /// them where a quorum without this node has committed.
    pub(super) fn committed(&self) -> Option<LogId> {
        let here = |id: &LogId| self.view.term_at(id.index) == Some(id.term);
        self.committed
            .filter(here)
            .or(self.view.state().last_purged)
    }

    /// Where the writer goes on.
    pub(super) fn position(&self, segment: Arc<Segment>, offset: u64) -> Position {
        let WalState { last_purged, last } = self.view.state();
        Position {
            segment,
            offset,
            sequence: self.sequence,
            synced: self.sequence - 1,
            last,
            purged: last_purged,
        }
    }
}
