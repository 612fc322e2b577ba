//! What the log's users, its writer and its helper share.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::watch;

use super::error::Failure;
use super::index::Index;
use super::pace::SyncPace;
use super::record::BATCH_HEADER;
use super::record::RECORD_HEADER;
use super::segment;
use super::types::Done;
use super::types::LogEntry;
use super::types::LogId;
use super::types::Vote;
use super::types::WalOptions;
use super::types::WalStats;
use super::view::View;
use crate::metrics::Histogram;
use crate::storage::fs::Fs;
use crate::storage::fs::FsFile;
use crate::world;

/// Kept free in the current segment when entries are admitted, for the truncations and purges
/// that may be written before them.
const CONTROL_SLACK: u64 = 512;

/// An operation on its way to the disk.
pub(super) enum Op {
    /// `done` is there for the last piece of what was appended together.
    Append(Vec<LogEntry>, Option<Done>),
    Vote(Vote, Done),
    Truncate(Option<LogId>, Done),
    Purge(LogId, Done),
}

impl Op {
    pub(super) fn into_done(self) -> Option<Done> {
        match self {
            Self::Append(_, done) => done,
            Self::Vote(_, done) | Self::Truncate(_, done) | Self::Purge(_, done) => Some(done),
        }
    }
}

/// Upper bound of the bytes an entry takes on disk: as if it had a batch of its own.
pub(super) fn need(entry: &LogEntry) -> u64 {
    (BATCH_HEADER + RECORD_HEADER + entry.payload.len()) as u64
}

/// The file that will be the next segment.
pub(super) enum Spare {
    /// Somebody should make one.
    Wanted,
    /// The helper is at it.
    Preparing,
    /// The writer is about to give it its name; until then no other may be made.
    Taken,
    /// Zeroed and durable.
    Ready(Arc<dyn FsFile>),
    /// It could not be made, mostly because the disk is full. Made again when there is space.
    Unavailable(Failure),
}

pub(super) struct State {
    pub(super) view: View,
    pub(super) index: Index,
    pub(super) queue: VecDeque<Op>,
    /// Sum of [`need`] over all entries not yet on disk.
    pub(super) planned: u64,
    /// Bytes that entries may still take in the current segment.
    pub(super) room: u64,
    /// How many wait for it; without any, telling them would cost a system call a batch.
    pub(super) waiting_for_room: usize,
    /// Truncations that the writer has not reached: until then what the index says about
    /// entries in memory may be about void ones, so none may be evicted.
    pub(super) rewinds: u64,
    pub(super) committed: Option<LogId>,
    pub(super) vote: Option<Vote>,
    pub(super) failed: Option<Failure>,
    /// No further operation is accepted.
    pub(super) closing: bool,
    /// The writer has ended: nobody needs a spare segment any more.
    pub(super) stopped: bool,
    pub(super) spare: Spare,
    /// A purged segment, renamed, from which the next spare is made.
    pub(super) recycled: Option<PathBuf>,
    /// The log's thread sleeps: the only time it must be woken.
    pub(super) writer_idle: bool,
    /// No mark on disk covers the last batch yet.
    pub(super) unmarked: bool,
    pub(super) pace: SyncPace,
    pub(super) stats: WalStats,
}

pub(super) struct Shared {
    pub(super) fs: Arc<dyn Fs>,
    pub(super) dir: PathBuf,
    pub(super) options: WalOptions,
    state: Mutex<State>,
    /// How long each batch took to be written and synced.
    pub(super) sync_times: Histogram,
    /// The writer waits here for operations.
    pub(super) work: Condvar,
    /// Appends wait here for the disk, the writer for a spare segment.
    pub(super) room: Condvar,
    /// The helper waits here until a spare segment is wanted.
    pub(super) wanted: Condvar,
    /// Told when the log has stopped, also of what nobody waits for: marks.
    pub(super) failing: watch::Sender<Option<Failure>>,
}

impl State {
    /// Whether nothing is on its way to the disk.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.writer_idle
    }
}

impl Shared {
    pub(super) fn new(fs: Arc<dyn Fs>, dir: PathBuf, options: WalOptions, state: State) -> Self {
        Self {
            fs,
            dir,
            options,
            state: Mutex::new(state),
            sync_times: Histogram::default(),
            work: Condvar::new(),
            room: Condvar::new(),
            wanted: Condvar::new(),
            failing: watch::Sender::new(None),
        }
    }

    /// No code that holds the lock can panic half-way through a change, so a poisoned lock
    /// guards sound state.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there may be more room.
    fn wait_for_room<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.waiting_for_room += 1;
        let mut state = world::blocking_here(|| self.wait(&self.room, state));
        state.waiting_for_room -= 1;
        state
    }

    /// Waits for a notification.
    pub(super) fn wait<'a>(
        &self,
        condvar: &Condvar,
        state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        condvar.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses what comes after a failure or after the end.
    pub(super) fn check_open(state: &State) -> io::Result<()> {
        if let Some(failure) = &state.failed {
            return Err(failure.error());
        }
        if state.closing {
            let message = "the log is closed";
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, message));
        }
        Ok(())
    }

    /// Largest sum of [`need`] that one segment can take.
    pub(super) fn piece_bytes(&self) -> u64 {
        segment::capacity(self.options.segment_bytes)
    }

    /// Admits `need` bytes of entries once they are certain to find room. Waits while the disk
    /// is behind; fails before anything is written if the disk is full.
    pub(super) fn admit<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        need: u64,
    ) -> io::Result<MutexGuard<'a, State>> {
        let limit = self.options.queue_bytes.min(self.piece_bytes());
        let mut tried = false;
        loop {
            Self::check_open(&state)?;
            let planned = state.planned + need;
            if state.planned > 0 && planned > limit {
                state = self.wait_for_room(state);
                continue;
            }
            if planned + CONTROL_SLACK <= state.room {
                return Ok(state);
            }
            match &state.spare {
                Spare::Ready(_) => return Ok(state),
                Spare::Unavailable(failure) => {
                    if tried || (state.recycled.is_none() && !self.has_space()) {
                        return Err(failure.error());
                    }
                    tried = true;
                    state.spare = Spare::Wanted;
                }
                Spare::Wanted | Spare::Preparing | Spare::Taken => {
                    state = self.await_spare(state);
                }
            }
        }
    }

    /// One step towards a spare segment: made here if there is no helper, waited for otherwise.
    fn await_spare<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if self.options.inline {
            drop(state);
            super::spare::prepare_wanted(self);
            return self.lock();
        }
        self.wanted.notify_one();
        self.wait_for_room(state)
    }

    /// Takes the spare segment, waiting until it is made. The caller renames it and then asks
    /// for the next one.
    pub(super) fn take_spare(&self) -> io::Result<Arc<dyn FsFile>> {
        let mut state = self.lock();
        loop {
            match std::mem::replace(&mut state.spare, Spare::Taken) {
                Spare::Ready(file) => return Ok(file),
                Spare::Unavailable(failure) => {
                    let error = failure.error();
                    state.spare = Spare::Unavailable(failure);
                    return Err(error);
                }
                spare @ (Spare::Wanted | Spare::Preparing | Spare::Taken) => {
                    state.spare = spare;
                    state = self.await_spare(state);
                }
            }
        }
    }

    /// Whether a new segment would fit on the disk.
    pub(super) fn has_space(&self) -> bool {
        let free = self.fs.free_bytes(&self.dir);
        free.is_ok_and(|free| free >= self.options.segment_bytes)
    }
}
