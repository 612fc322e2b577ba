//! The write-ahead log: entries, votes and the commit index of one raft node.
//!
//! | module | does |
//! |---|---|
//! | `types` | what goes in and comes out |
//! | `record`, `segment`, `vote` | the bytes on disk |
//! | `view` | the log as users see it, changed as soon as an operation is accepted |
//! | `index` | where entries lie on disk, changed when they do |
//! | `shared` | both of these behind one lock, the queue, admission |
//! | `writer` | queue, one write, one sync, callbacks |
//! | `tail` | the log's last block, where a segment's file takes direct writes |
//! | `worker` | the thread that the writer runs in, unless an append may run it itself |
//! | `pace` | whether the disk is quick enough for that |
//! | `read` | entries from disk |
//! | `spare` | another thread: the next segment, zeroed ahead of need |
//! | `recovery`, `replay` | opening |
//!
//! # On disk
//! `<number>.wal`: segments of fixed length, zero behind their end. `vote`: the vote, twice.
//! `spare.tmp`, `recycled.tmp`: the next segment in the making.
//!
//! # Invariants
//! - A callback with `Ok` fires only after a sync that covers its operation and all before it.
//! - A batch is written only after the one before it is synced; marks may go unsynced, and no
//!   header vouches for an unsynced one.
//! - After the first failed write or sync nothing is written any more.
//! - Behind the log's end there are zeros.

mod error;
mod index;
mod pace;
mod read;
mod record;
mod recovery;
mod replay;
mod segment;
mod shared;
mod spare;
mod tail;
#[cfg(test)]
mod tests;
mod types;
mod view;
mod vote;
mod worker;
mod writer;

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::thread::JoinHandle;

use tokio::sync::watch;

pub(crate) use error::Failure;
pub(crate) use error::OpenWalError;
pub(crate) use types::Done;
pub(crate) use types::LogEntry;
pub(crate) use types::LogId;
pub(crate) use types::Vote;
pub(crate) use types::WalOptions;
pub(crate) use types::WalState;
pub(crate) use types::WalStats;

use self::index::Run;
use self::pace::SyncPace;
use self::read::Collected;
use self::read::lost;
use self::read::read_run;
use self::segment::MIN_SEGMENT_BYTES;
use self::shared::Op;
use self::shared::Shared;
use self::shared::Spare;
use self::shared::State;
use self::shared::need;
use self::writer::Writer;
use super::fs::Fs;
use crate::metrics::Counts;

/// Longest segment: offsets within a batch are 32 bits wide.
const MAX_SEGMENT_BYTES: u64 = 1 << 30;

/// A handle on an open log. The last one to go closes it.
#[derive(Clone)]
pub(crate) struct Wal {
    log: Arc<Log>,
}

struct Log {
    shared: Arc<Shared>,
    writer: Arc<Mutex<Writer>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Wal {
    /// Opens the log in `dir`, or creates it, and starts its threads.
    ///
    /// The caller sees to it that nobody else uses the directory.
    pub(crate) fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        options: WalOptions,
    ) -> Result<Self, OpenWalError> {
        let got = options.segment_bytes;
        let (min, max) = (MIN_SEGMENT_BYTES, MAX_SEGMENT_BYTES);
        if got < min || got > max {
            return Err(OpenWalError::SegmentBytes { got, min, max });
        }
        let io = |source| OpenWalError::Io {
            dir: dir.to_path_buf(),
            source,
        };
        fs.create_dir_all(dir).map_err(io)?;
        let recovered = recovery::recover(&*fs, dir, &options)?;
        let inline = options.inline;
        let limit = recovered.at.segment.entry_limit();
        let state = State {
            committed: recovered.replay.committed(),
            room: limit.saturating_sub(recovered.at.offset),
            waiting_for_room: 0,
            view: recovered.replay.view,
            index: recovered.replay.index,
            queue: VecDeque::new(),
            planned: 0,
            rewinds: 0,
            vote: recovered.vote,
            failed: None,
            closing: false,
            stopped: false,
            spare: Spare::Wanted,
            recycled: None,
            writer_idle: false,
            unmarked: false,
            pace: SyncPace::default(),
            stats: WalStats::default(),
        };
        let shared = Arc::new(Shared::new(fs, dir.to_path_buf(), options, state));
        let writer = Writer::new(Arc::clone(&shared), recovered.at, recovered.votes).map_err(io)?;
        let log = Log {
            shared,
            writer: Arc::new(Mutex::new(writer)),
            threads: Mutex::default(),
        };
        if !inline {
            log.start().map_err(io)?;
        }
        Ok(Self { log: Arc::new(log) })
    }

    /// Appends entries behind the last one; they can be read when this returns and are durable
    /// when `done` is called. On an error `done` is not called.
    ///
    /// Refuses a hole ([`io::ErrorKind::InvalidInput`]; a log that never held an entry may
    /// start anywhere) and a full disk ([`io::ErrorKind::StorageFull`]), both before anything
    /// is written. Waits while more than `queue_bytes` are on their way to the disk. Entries
    /// that together exceed a segment are taken piece by piece, and an error may leave some.
    pub(crate) fn append(&self, entries: Vec<LogEntry>, done: Done) -> io::Result<()> {
        self.append_from(entries, done, false)
    }

    /// Appends as [`Self::append`] does, and sees to the disk in the calling thread if nothing
    /// else is on its way there and the disk was quick lately: that spares two changes of thread.
    /// `done` has then been called when this returns.
    pub(crate) fn append_here(&self, entries: Vec<LogEntry>, done: Done) -> io::Result<()> {
        self.append_from(entries, done, true)
    }

    fn append_from(&self, entries: Vec<LogEntry>, done: Done, here: bool) -> io::Result<()> {
        let shared = &self.log.shared;
        let mut state = shared.lock();
        Shared::check_open(&state)?;
        state.view.check_append(&entries)?;
        let most = shared.piece_bytes();
        if let Some(entry) = entries.iter().find(|entry| need(entry) > most) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "entry {} is too long: a log segment has room for {most} bytes",
                    entry.id
                ),
            ));
        }
        // In pieces, each of which is certain to fit into one segment.
        let mut rest = entries.into_iter().peekable();
        let mut done = Some(done);
        while done.is_some() {
            let (mut piece, mut sum) = (Vec::new(), 0);
            while let Some(entry) = rest.next_if(|entry| sum + need(entry) <= most) {
                sum += need(&entry);
                piece.push(entry);
            }
            state = shared.admit(state, sum)?;
            // The lock was open while this waited.
            state.view.check_append(&piece)?;
            state.planned += sum;
            for entry in &piece {
                state.view.append(entry.clone());
            }
            let done = if rest.peek().is_none() {
                done.take()
            } else {
                None
            };
            // A rotation takes many syncs, and may wait for the next segment.
            let here = here && state.is_idle() && state.pace.is_brief() && sum <= state.room;
            state.queue.push_back(Op::Append(piece, done));
            drop(state);
            if !(here && self.carry_out_here()) {
                self.wake();
            }
            state = shared.lock();
        }
        Ok(())
    }

    /// Carries out what is queued in this thread; false if the writer is at work in another one.
    fn carry_out_here(&self) -> bool {
        let Ok(mut writer) = self.log.writer.try_lock() else {
            return false;
        };
        writer.turn();
        true
    }

    /// Makes a vote durable, after everything that was accepted before it.
    pub(crate) fn save_vote(&self, vote: Vote, done: Done) {
        let mut state = self.log.shared.lock();
        if let Err(error) = Shared::check_open(&state) {
            drop(state);
            return done(Err(error));
        }
        state.vote = Some(vote);
        state.queue.push_back(Op::Vote(vote, done));
        drop(state);
        self.wake();
    }

    /// The last vote that was saved.
    pub(crate) fn read_vote(&self) -> Option<Vote> {
        self.log.shared.lock().vote
    }

    /// Notes the commit index. It reaches the disk with the next batch or mark, never by a sync
    /// of its own.
    pub(crate) fn save_committed(&self, id: Option<LogId>) {
        self.log.shared.lock().committed = id;
    }

    /// The commit index that was noted last; after opening, the one that was on disk.
    pub(crate) fn committed(&self) -> Option<LogId> {
        self.log.shared.lock().committed
    }

    /// Drops all entries after `last`, or all that are not purged. Readers see it at once.
    pub(crate) fn truncate_after(&self, last: Option<u64>, done: Done) -> io::Result<()> {
        let mut state = self.log.shared.lock();
        Shared::check_open(&state)?;
        let last = state.view.truncated_last(last)?;
        state.view.truncate(last);
        state.rewinds += 1;
        state.queue.push_back(Op::Truncate(last, done));
        drop(state);
        self.wake();
        Ok(())
    }

    /// Drops all entries up to `upto`, which may lie behind the last one: then the log is
    /// empty and goes on after `upto`. Segments without other entries are removed.
    pub(crate) fn purge(&self, upto: LogId, done: Done) -> io::Result<()> {
        let mut state = self.log.shared.lock();
        Shared::check_open(&state)?;
        let purged = state.view.state().last_purged;
        if purged.is_some_and(|purged| purged.index >= upto.index) {
            drop(state);
            done(Ok(()));
            return Ok(());
        }
        state.view.purge(upto);
        state.queue.push_back(Op::Purge(upto, done));
        drop(state);
        self.wake();
        Ok(())
    }

    /// Entries without a gap from the start of `range`: at least one if there is one, no more
    /// payload than `max_bytes` otherwise. Empty if the first is purged or not there yet.
    pub(crate) fn read(&self, range: Range<u64>, max_bytes: u64) -> io::Result<Vec<LogEntry>> {
        let shared = &self.log.shared;
        let mut out = Collected::new(range, max_bytes);
        let mut truncations = None;
        loop {
            let run = {
                let state = shared.lock();
                // What was read before a truncation is a sound prefix; what follows would not
                // continue it.
                let seen = *truncations.get_or_insert(state.view.truncations());
                if seen != state.view.truncations() && !out.entries.is_empty() {
                    return Ok(out.entries);
                }
                truncations = Some(state.view.truncations());
                if out.full || !state.view.contains(out.next) {
                    return Ok(out.entries);
                }
                let before = out.next;
                state.view.cached(out.next).all(|entry| out.take(entry));
                if out.next != before || out.full {
                    return Ok(out.entries);
                }
                let end = state.view.cache_first().unwrap_or(0);
                let run = state.index.locate(out.next);
                run.map(|run| Run {
                    end: run.end.min(end),
                    ..run
                })
            };
            let next = out.next;
            let result = match &run {
                Some(run) => read_run(run, &mut out),
                None => Err(lost(next, "it is neither in memory nor in the index")),
            };
            if let Err(error) = result {
                // Its segment may have been purged, and used again, meanwhile.
                if shared.lock().view.contains(next) {
                    return Err(error);
                }
                return Ok(out.entries);
            }
        }
    }

    /// The term of an entry or of the last purged one, from memory.
    pub(crate) fn term_at(&self, index: u64) -> io::Result<Option<u64>> {
        let state = self.log.shared.lock();
        Ok(state.view.term_at(index))
    }

    /// The log's two ends.
    pub(crate) fn state(&self) -> WalState {
        self.log.shared.lock().view.state()
    }

    /// Counters and sizes.
    pub(crate) fn stats(&self) -> WalStats {
        let shared = &self.log.shared;
        let state = shared.lock();
        let segments = state.index.segments();
        let spare = u64::from(matches!(state.spare, Spare::Ready(_) | Spare::Preparing));
        let used: u64 = segments.iter().map(|segment| segment.header.bytes).sum();
        WalStats {
            segments: segments.len() as u64,
            disk_bytes: used + spare * shared.options.segment_bytes,
            queue_depth: state.queue.len() as u64,
            cache_bytes: state.view.cache_bytes(),
            ..state.stats
        }
    }

    /// How many bytes of disk a purge up to an entry would free, in whole segments.
    pub(crate) fn bytes_upto(&self, upto: u64) -> u64 {
        self.log.shared.lock().index.bytes_upto(upto)
    }

    /// How long each batch took to be written and synced.
    pub(crate) fn sync_times(&self) -> Counts {
        self.log.shared.sync_times.counts()
    }

    /// Whether the disk has less free space than the reserve, or too little for the log's next
    /// segment: time to answer busy, and to purge.
    pub(crate) fn disk_low(&self) -> io::Result<bool> {
        let shared = &self.log.shared;
        if matches!(shared.lock().spare, Spare::Unavailable(_)) && !shared.has_space() {
            return Ok(true);
        }
        Ok(shared.fs.free_bytes(&shared.dir)? < shared.options.reserve_bytes)
    }

    /// Why the log has stopped, if it has.
    pub(crate) fn failed(&self) -> Option<Failure> {
        self.log.shared.lock().failed.clone()
    }

    /// Why the log has stopped, once it has.
    pub(crate) fn watch_failed(&self) -> watch::Receiver<Option<Failure>> {
        self.log.shared.failing.subscribe()
    }

    /// Whether its thread sleeps and has nothing left to do.
    #[cfg(test)]
    pub(crate) fn is_resting(&self) -> bool {
        let state = self.log.shared.lock();
        state.writer_idle && !state.unmarked
    }

    /// Carries out what is queued, writes the mark of a clean stop, ends the threads. Later
    /// operations are refused; what was written can still be read.
    pub(crate) fn close(&self) {
        self.log.close();
    }

    fn wake(&self) {
        let log = &self.log;
        if !log.shared.options.inline {
            if log.shared.lock().writer_idle {
                log.shared.work.notify_one();
            }
            return;
        }
        // If it is taken, a callback calls from within the writer, which will look again.
        if let Ok(mut writer) = log.writer.try_lock() {
            while writer.turn() {}
        }
    }
}

impl Log {
    fn start(&self) -> io::Result<()> {
        let mut threads = self.threads.lock().expect("no thread holds this lock yet");
        let named = |name: &str| thread::Builder::new().name(name.into());
        let shared = Arc::clone(&self.shared);
        threads.push(named("braft-wal-spare").spawn(move || spare::run(&shared))?);
        let (shared, writer) = (Arc::clone(&self.shared), Arc::clone(&self.writer));
        threads.push(named("braft-wal").spawn(move || worker::run(&shared, &writer))?);
        Ok(())
    }

    fn close(&self) {
        let first = !std::mem::replace(&mut self.shared.lock().closing, true);
        self.shared.work.notify_all();
        self.shared.wanted.notify_all();
        if self.shared.options.inline
            && first
            && let Ok(mut writer) = self.writer.try_lock()
        {
            while writer.turn() {}
            writer.finish();
        }
        let threads = match self.threads.lock() {
            Ok(mut threads) => std::mem::take(&mut *threads),
            Err(_) => return,
        };
        // The last handle may be dropped by a callback, in the writer's own thread.
        let own = thread::current().id();
        if threads.iter().all(|thread| thread.thread().id() != own) {
            for thread in threads {
                drop(thread.join());
            }
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}
