//! The writer: takes what has queued up, writes it with one write and one sync, answers.
//!
//! Operations reach the disk strictly in the order in which they were accepted, votes among
//! them: they leave the queue only through the one writer, whichever thread it runs in. Nothing ever
//! lingers to let a batch grow, it grows while the sync before it runs.

use std::collections::VecDeque;
use std::io;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::error::Failure;
use super::record;
use super::record::BATCH_HEADER;
use super::record::BatchHeader;
use super::record::RECORD_HEADER;
use super::segment;
use super::segment::SEGMENT_HEADER;
use super::segment::Segment;
use super::segment::SegmentHeader;
use super::shared::Op;
use super::shared::Shared;
use super::shared::Spare;
use super::shared::need;
use super::tail::Tail;
use super::types::Done;
use super::types::LogId;
use super::vote::VoteFile;
use crate::planted::{self, Bug};

/// A batch is closed at this size: what one sync carries stays short, and so does what a reader
/// must take in at once.
const MAX_BATCH_BYTES: usize = 4 << 20;
/// What a purged segment is called until it becomes the next spare one.
pub(super) const RECYCLED: &str = "recycled.tmp";

/// Where the next batch goes and what leads up to it.
pub(super) struct Position {
    pub(super) segment: Arc<Segment>,
    pub(super) offset: u64,
    /// Sequence number of the next batch.
    pub(super) sequence: u64,
    /// All batches up to this one are synced.
    pub(super) synced: u64,
    /// The last entry on disk.
    pub(super) last: Option<LogId>,
    /// The last purged entry on disk.
    pub(super) purged: Option<LogId>,
}

impl Position {
    /// Writes a batch at the log's end; it is durable when this returns.
    fn write_durably(&self, tail: &mut Option<Tail>, batch: &[u8]) -> io::Result<()> {
        let not_synced = planted::is(Bug::AckBeforeSync);
        if let Some(tail) = tail
            && !not_synced
            && tail.write(batch, self.offset)?
        {
            return Ok(());
        }
        let file = &*self.segment.file;
        match tail {
            Some(tail) => tail.write_cached(file, batch, self.offset)?,
            None => file.write_all_at(batch, self.offset)?,
        }
        if not_synced {
            return Ok(());
        }
        file.sync_data()
    }
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    at: Position,
    /// How the log's end is written, if the segment's file takes direct writes.
    tail: Option<Tail>,
    votes: VoteFile,
    /// The batch under construction, header first; empty if there is none.
    batch: Vec<u8>,
    /// First and last entry of the batch.
    entries: Option<(u64, u64)>,
    /// What the batch's entries had been admitted for.
    batch_need: u64,
    /// Answered once the batch is synced.
    waiting: VecDeque<Done>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, at: Position, votes: VoteFile) -> io::Result<Self> {
        let tail = Tail::of(&*shared.fs, &at.segment, at.offset)?;
        Ok(Self {
            shared,
            at,
            tail,
            votes,
            batch: Vec::new(),
            entries: None,
            batch_need: 0,
            waiting: VecDeque::new(),
        })
    }

    /// Carries out what is queued at this moment; false if there was nothing to do.
    pub(super) fn turn(&mut self) -> bool {
        let ops = {
            let mut state = self.shared.lock();
            if state.queue.is_empty() || state.failed.is_some() {
                return false;
            }
            std::mem::take(&mut state.queue)
        };
        self.carry_out(ops);
        true
    }

    /// Says that the last batch was synced, unless somebody has work for the log again.
    pub(super) fn mark_idle(&mut self) {
        let is_due = {
            let state = self.shared.lock();
            state.unmarked && state.queue.is_empty() && state.failed.is_none()
        };
        if is_due && let Err(error) = self.mark(false) {
            self.fail(&error, VecDeque::new());
        }
    }

    /// Writes the mark of a clean stop.
    pub(super) fn finish(&mut self) {
        if self.shared.lock().failed.is_none()
            && let Err(error) = self.mark(true)
        {
            self.fail(&error, VecDeque::new());
        }
        self.shared.lock().stopped = true;
        self.shared.wanted.notify_all();
    }

    fn carry_out(&mut self, mut ops: VecDeque<Op>) {
        let mut result = Ok(());
        while result.is_ok()
            && let Some(op) = ops.pop_front()
        {
            result = self.op(op);
        }
        if let Err(error) = result.and_then(|()| self.flush()) {
            self.fail(&error, ops);
        }
    }

    fn op(&mut self, op: Op) -> io::Result<()> {
        match op {
            Op::Append(entries, done) => {
                // Before the first failure can occur, so that it is answered in any case.
                let last = entries.len().saturating_sub(1);
                let mut done = done;
                for (at, entry) in entries.iter().enumerate() {
                    let bytes = RECORD_HEADER + entry.payload.len();
                    if let Err(error) = self.make_room(bytes, Segment::entry_limit) {
                        self.waiting.extend(done);
                        return Err(error);
                    }
                    let seed = self.seed();
                    record::push_entry(&mut self.batch, seed, entry);
                    let first = self.entries.map_or(entry.id.index, |(first, _)| first);
                    self.entries = Some((first, entry.id.index));
                    self.batch_need += need(entry);
                    self.at.last = Some(entry.id);
                    if at == last {
                        self.waiting.extend(done.take());
                    }
                }
                self.waiting.extend(done);
                Ok(())
            }
            Op::Vote(vote, done) => {
                let flushed = self.flush();
                self.waiting.push_back(done);
                flushed?;
                self.votes.save(Some(vote))?;
                self.shared.lock().stats.fsyncs += 2;
                self.answer()
            }
            Op::Truncate(last, done) => {
                self.control(done, |batch, seed| record::push_truncate(batch, seed, last))?;
                self.at.last = last;
                let mut state = self.shared.lock();
                state.index.truncate(last);
                state.rewinds -= 1;
                drop(state);
                self.answer()
            }
            Op::Purge(upto, done) => {
                self.control(done, |batch, seed| record::push_purge(batch, seed, upto))?;
                self.at.purged = Some(upto);
                if self.at.last.is_none_or(|last| last.index <= upto.index) {
                    self.at.last = Some(upto);
                }
                self.drop_segments(upto)?;
                self.answer()
            }
        }
    }

    /// Writes a batch of one record that is not an entry. The index changes with it, so it
    /// shares a batch with no entry.
    fn control(&mut self, done: Done, push: impl FnOnce(&mut Vec<u8>, u32)) -> io::Result<()> {
        let flushed = self.flush();
        self.waiting.push_back(done);
        flushed?;
        self.make_room(RECORD_HEADER, Segment::control_limit)?;
        let seed = self.seed();
        push(&mut self.batch, seed);
        self.write_batch()
    }

    fn seed(&self) -> u32 {
        self.at.segment.seed(self.at.offset)
    }

    /// Sees to it that the batch under construction can take `bytes` more.
    fn make_room(&mut self, bytes: usize, limit: fn(&Segment) -> u64) -> io::Result<()> {
        let len = self.batch.len() + bytes;
        let full = len > MAX_BATCH_BYTES || self.at.offset + len as u64 > limit(&self.at.segment);
        if full && !self.batch.is_empty() {
            self.flush()?;
        }
        if self.batch.is_empty() {
            if self.at.offset + (BATCH_HEADER + bytes) as u64 > limit(&self.at.segment) {
                self.rotate()?;
            }
            self.batch.resize(BATCH_HEADER, 0);
        }
        Ok(())
    }

    /// Makes the batch under construction durable and answers for it.
    fn flush(&mut self) -> io::Result<()> {
        if !self.batch.is_empty() {
            self.write_batch()?;
        }
        self.answer()
    }

    /// A callback that panics stops the log: nobody else may wait for ever on its account.
    fn answer(&mut self) -> io::Result<()> {
        while let Some(done) = self.waiting.pop_front() {
            call(done, Ok(()))?;
        }
        Ok(())
    }

    fn header(&self, committed: Option<LogId>) -> BatchHeader {
        BatchHeader {
            body: self.batch.len().saturating_sub(BATCH_HEADER) as u32,
            sequence: self.at.sequence,
            synced: self.at.synced,
            committed,
            seal: false,
            clean: false,
        }
    }

    fn write_batch(&mut self) -> io::Result<()> {
        let (first, last) = self.entries.unwrap_or_default();
        let bytes = self.batch.len();
        let _span = tracing::debug_span!("sync", first, last, bytes).entered();
        let committed = self.shared.lock().committed;
        let header = self.header(committed);
        let seed = self.seed();
        header.encode(&mut self.batch[..BATCH_HEADER], seed);
        let began = Instant::now();
        self.at.write_durably(&mut self.tail, &self.batch)?;

        let offset = self.at.offset;
        self.at.offset += self.batch.len() as u64;
        self.at.synced = self.at.sequence;
        self.at.sequence += 1;
        self.note_written(offset, began.elapsed());
        self.batch.clear();
        Ok(())
    }

    /// Tells readers where the batch's entries are and lets waiting appends in.
    fn note_written(&mut self, offset: u64, took: Duration) {
        self.shared.sync_times.record(took);
        let mut state = self.shared.lock();
        state.pace.note(took);
        if let Some((first, last)) = self.entries.take() {
            state.index.wrote(first, last, offset);
            state.stats.entries += last - first + 1;
            if state.rewinds == 0 {
                state.view.evict(self.shared.options.cache_bytes, last);
            }
        }
        state.stats.fsyncs += 1;
        state.stats.batches += 1;
        state.stats.bytes += self.batch.len() as u64;
        state.planned -= std::mem::take(&mut self.batch_need);
        state.room = self.at.segment.entry_limit().saturating_sub(self.at.offset);
        // Written in another's thread: the log's own sleeps, and the mark is its work.
        let tell = !std::mem::replace(&mut state.unmarked, true) && state.writer_idle;
        let somebody_waits = state.waiting_for_room > 0;
        drop(state);
        if tell {
            self.shared.work.notify_one();
        }
        if somebody_waits {
            self.shared.room.notify_all();
        }
    }

    /// Writes an empty batch that says how far the log is synced. Only the last one has to be synced
    /// itself: through the page cache another costs nothing but its 48 bytes. Where the log is
    /// written directly so is the mark: the next batch would have to wait for its page.
    fn mark(&mut self, clean: bool) -> io::Result<()> {
        self.shared.lock().unmarked = false;
        let end = self.at.offset + BATCH_HEADER as u64;
        let limit = if clean {
            self.at.segment.control_limit()
        } else {
            self.at.segment.entry_limit()
        };
        if end > limit {
            return Ok(());
        }
        let committed = self.shared.lock().committed;
        let header = BatchHeader {
            clean,
            ..self.header(committed)
        };
        let mut bytes = [0; BATCH_HEADER];
        header.encode(&mut bytes, self.seed());
        let durable = clean || self.tail.is_some();
        if durable {
            self.at.write_durably(&mut self.tail, &bytes)?;
        } else {
            self.at.segment.file.write_all_at(&bytes, self.at.offset)?;
        }
        if clean {
            self.at.synced = self.at.sequence;
        }
        self.at.offset = end;
        self.at.sequence += 1;
        let mut state = self.shared.lock();
        state.room = self.at.segment.entry_limit().saturating_sub(end);
        state.stats.fsyncs += u64::from(durable);
        state.stats.bytes += BATCH_HEADER as u64;
        Ok(())
    }

    /// Goes on in the next segment.
    ///
    /// Its header is durable under its final name before the old segment is sealed, and the
    /// seal is durable before the first batch: so a seal without a next segment, and a next
    /// segment with batches behind one without a seal, are both proof of a loss.
    fn rotate(&mut self) -> io::Result<()> {
        // An idle mark may be unsynced, and the new header vouches for everything before it.
        self.at.segment.file.sync_data()?;
        self.at.synced = self.at.sequence - 1;
        let shared = &self.shared;
        let file = shared.take_spare()?;
        let header = SegmentHeader {
            salt: self.at.segment.header.salt,
            number: self.at.segment.header.number + 1,
            bytes: shared.options.segment_bytes,
            first_batch: self.at.sequence,
            last: self.at.last,
            purged: self.at.purged,
            committed: shared.lock().committed,
        };
        let next = Segment::new(header, &shared.dir, file);
        next.file.write_all_at(&header.encode(), 0)?;
        next.file.sync_data()?;
        shared
            .fs
            .rename(&shared.dir.join(segment::SPARE), &next.path)?;
        shared.fs.sync_dir(&shared.dir)?;
        seal(&self.at.segment, self.at.offset, self.at.sequence)?;

        self.at.offset = SEGMENT_HEADER as u64;
        self.at.segment = Arc::clone(&next);
        self.tail = Tail::of(&*shared.fs, &next, self.at.offset)?;
        let mut state = shared.lock();
        state.room = next.entry_limit() - self.at.offset;
        state.index.push_segment(next);
        state.stats.fsyncs += 4;
        state.spare = Spare::Wanted;
        drop(state);
        shared.wanted.notify_one();
        shared.room.notify_all();
        Ok(())
    }

    /// Lets go of segments that hold nothing but purged entries.
    fn drop_segments(&mut self, upto: LogId) -> io::Result<()> {
        let void = self.shared.lock().index.purge(upto);
        let (fs, dir) = (&self.shared.fs, &self.shared.dir);
        for segment in void {
            let recycle = {
                let state = self.shared.lock();
                matches!(state.spare, Spare::Unavailable(_))
                    && state.recycled.is_none()
                    && segment.header.bytes == self.shared.options.segment_bytes
            };
            if !recycle {
                fs.remove(&segment.path)?;
                continue;
            }
            // No space for a new segment: this one becomes it, without allocating anything.
            let recycled = dir.join(RECYCLED);
            fs.rename(&segment.path, &recycled)?;
            let mut state = self.shared.lock();
            state.recycled = Some(recycled);
            state.spare = Spare::Wanted;
            self.shared.wanted.notify_one();
        }
        Ok(())
    }

    /// Stops the log for good: a write or sync that failed once must not be tried again, for
    /// the kernel may have dropped the very pages it reports as clean the second time.
    pub(super) fn fail(&mut self, error: &io::Error, rest: VecDeque<Op>) {
        let failure = Failure::new("the log has stopped", error);
        tracing::error!(dir = %self.shared.dir.display(), "{failure}");
        let queued = {
            let mut state = self.shared.lock();
            state.failed = Some(failure.clone());
            std::mem::take(&mut state.queue)
        };
        self.shared.failing.send_replace(Some(failure.clone()));
        self.shared.work.notify_all();
        self.shared.room.notify_all();
        self.shared.wanted.notify_all();
        let rest = rest.into_iter().chain(queued).filter_map(Op::into_done);
        for done in self.waiting.drain(..).chain(rest) {
            // The log has stopped already: a panic changes nothing for the others.
            drop(call(done, Err(failure.error())));
        }
    }
}

/// Calls back; a panic becomes an error.
fn call(done: Done, result: io::Result<()>) -> io::Result<()> {
    catch_unwind(AssertUnwindSafe(|| done(result)))
        .map_err(|_| io::Error::other("a callback of the log panicked"))
}

/// Writes the seal that ends a segment, durably.
pub(super) fn seal(segment: &Segment, offset: u64, next: u64) -> io::Result<()> {
    let header = BatchHeader {
        body: 0,
        sequence: next,
        synced: next - 1,
        committed: None,
        seal: true,
        clean: false,
    };
    let mut bytes = [0; BATCH_HEADER];
    header.encode(&mut bytes, segment.seed(offset));
    segment.file.write_all_at(&bytes, offset)?;
    segment.file.sync_data()
}
