//! openraft's view of the write-ahead log.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};

use futures_util::Stream;
use futures_util::stream;
use openraft::errors::LeaderChanged;
use openraft::storage::{
    IOFlushed, LeaderBoundedStreamError, LeaderBoundedStreamResult, LogState, RaftLogReader,
    RaftLogStorage,
};
use openraft::type_config::alias::{LeaderIdOf, LogIdOf, VoteOf};
use openraft::vote::RaftVote;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::brief::Brief;
use super::types::{Entry, LeaderId, TypeConfig, Vote, log_id, plain};
use super::{encoding, relay};
use crate::storage::wal::{self, LogEntry, Wal};

/// The most bytes of entries read at once: what one append message to a peer carries.
const MAX_READ_BYTES: u64 = 1 << 20;

/// A handle on the log; clones share it.
#[derive(Clone)]
pub(crate) struct LogStore {
    wal: Wal,
    lone: LoneEntry,
}

/// Says of the next entry that nothing else is under way on this node, and that no other member
/// waits for it.
///
/// Such an entry is written and synced by the task that appends it: it is raft's core, which then
/// has nothing else to do. A hint only: whatever it says, entries reach the disk in their order and
/// before they are answered.
#[derive(Clone, Debug)]
pub(super) struct LoneEntry(Arc<Lone>);

#[derive(Debug)]
struct Lone {
    is_next: AtomicBool,
    /// The task keeps a thread of the runtime busy meanwhile.
    brief: Brief,
}

impl LoneEntry {
    pub(super) fn of(runtime: &Handle) -> Self {
        LoneEntry(Arc::new(Lone {
            is_next: AtomicBool::new(false),
            brief: Brief::of(runtime),
        }))
    }

    pub(super) fn announce(&self) {
        self.0.is_next.store(true, Ordering::Relaxed);
    }

    /// The turn to write it here, if it was announced; asking uses that up.
    fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        let is_next = &self.0.is_next;
        let was_next = is_next.load(Ordering::Relaxed) && is_next.swap(false, Ordering::Relaxed);
        if was_next { self.0.brief.turn() } else { None }
    }
}

impl LogStore {
    pub(crate) fn new(wal: Wal, lone: LoneEntry) -> Self {
        LogStore { wal, lone }
    }

    fn vote(&self) -> Option<Vote> {
        self.wal.read_vote().and_then(|vote| {
            let leader_id = LeaderId {
                term: vote.term,
                voted_for: vote.voted_for?,
            };
            Some(Vote::from_leader_id(leader_id, vote.committed))
        })
    }

    fn read(&self, range: Range<u64>, max_bytes: u64) -> io::Result<Vec<Entry>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let entries = self.wal.read(range, max_bytes)?;
        entries.into_iter().map(decode).collect()
    }

    fn bounds(&self, range: &impl RangeBounds<u64>) -> Range<u64> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        let state = self.wal.state();
        let first = state.last_purged.map_or(0, |id| id.index + 1);
        let next = state.last.map_or(first, |id| id.index + 1);
        // Raft's logs begin at 0 or after a purge; openraft's test suite also begins them later.
        let held = |index: &u64| matches!(self.wal.term_at(*index), Ok(Some(_)));
        let first = (first..next).find(held).unwrap_or(first);
        start.max(first)..end.min(next)
    }
}

fn decode(entry: LogEntry) -> io::Result<Entry> {
    encoding::decode(
        entry.id.term,
        entry.id.index,
        u32::from(entry.kind),
        entry.payload,
    )
    .map_err(io::Error::other)
}

fn encode(entry: &Entry) -> LogEntry {
    let (term, index, kind, payload) = encoding::encode(entry);
    LogEntry {
        id: wal::LogId { term, index },
        kind,
        payload,
    }
}

fn to_wal(id: &LogIdOf<TypeConfig>) -> wal::LogId {
    let (term, index) = plain(id);
    wal::LogId { term, index }
}

fn from_wal(id: wal::LogId) -> LogIdOf<TypeConfig> {
    log_id(id.term, id.index)
}

/// Waits for a completion of the log.
async fn completed(start: impl FnOnce(wal::Done) -> io::Result<()>) -> io::Result<()> {
    let (sender, receiver) = oneshot::channel();
    start(Box::new(move |result| drop(sender.send(result))))?;
    receiver
        .await
        .unwrap_or_else(|_| Err(io::Error::other("the log writer has stopped")))
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        self.read(self.bounds(&range), u64::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let held = self.bounds(&(start..end));
        // Replication takes what comes for what follows the entry before `start`. Where that was
        // purged meanwhile, nothing may come: a follower would append it behind a gap. Asked once the
        // bounds are known: they begin behind what was purged.
        let purged = self.wal.state().last_purged;
        if purged.is_some_and(|purged| start <= purged.index) {
            return Ok(Vec::new());
        }
        self.read(held, MAX_READ_BYTES)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.vote())
    }

    async fn leader_bounded_stream<RB>(
        &mut self,
        leader: LeaderIdOf<TypeConfig>,
        range: RB,
    ) -> impl Stream<Item = LeaderBoundedStreamResult<TypeConfig>> + Send
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        let state = Some((self.clone(), self.bounds(&range)));
        let chunks = stream::unfold(state, move |state| async move {
            let (store, range) = state?;
            let chunk = store.read_as_leader(leader, range.clone());
            let next = match &chunk {
                Ok(entries) if entries.is_empty() => return None,
                Ok(entries) => Some((store, range.start + entries.len() as u64..range.end)),
                Err(_) => None,
            };
            Some((chunk, next))
        });
        flatten(chunks)
    }

    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<Entry>> + Send
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        let state = Some((self.clone(), self.bounds(&range)));
        let chunks = stream::unfold(state, |state| async move {
            let (store, range) = state?;
            let chunk = store.read(range.clone(), MAX_READ_BYTES);
            let next = match &chunk {
                Ok(entries) if entries.is_empty() => return None,
                Ok(entries) => Some((store, range.start + entries.len() as u64..range.end)),
                Err(_) => None,
            };
            Some((chunk, next))
        });
        flatten(chunks)
    }
}

impl LogStore {
    /// Entries that are surely those of `leader`: its vote stood before and after the read.
    fn read_as_leader(
        &self,
        leader: LeaderId,
        range: Range<u64>,
    ) -> Result<Vec<Entry>, LeaderBoundedStreamError<TypeConfig>> {
        let check = |vote: Option<VoteOf<TypeConfig>>| match vote {
            Some(vote) if vote.committed && vote.leader_id == leader => Ok(()),
            other => Err(LeaderChanged::new(leader, other)),
        };
        check(self.vote())?;
        let entries = self.read(range, MAX_READ_BYTES)?;
        check(self.vote())?;
        Ok(entries)
    }
}

/// Chunks of entries as a stream of entries; the first error ends it.
fn flatten<T: Send, E: Send>(
    chunks: impl Stream<Item = Result<Vec<T>, E>> + Send,
) -> impl Stream<Item = Result<T, E>> + Send {
    use futures_util::StreamExt;
    Box::pin(chunks.flat_map(|chunk| {
        stream::iter(match chunk {
            Ok(entries) => entries.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        })
    }))
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let state = self.wal.state();
        let last_purged_log_id = state.last_purged.map(from_wal);
        Ok(LogState {
            last_purged_log_id,
            last_log_id: state.last.map(from_wal).or(last_purged_log_id),
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let vote = wal::Vote {
            term: vote.leader_id.term,
            voted_for: Some(vote.leader_id.voted_for),
            committed: vote.committed,
        };
        completed(|done| {
            self.wal.save_vote(vote, done);
            Ok(())
        })
        .await
    }

    async fn save_committed(&mut self, committed: Option<LogIdOf<TypeConfig>>) -> io::Result<()> {
        self.wal.save_committed(committed.as_ref().map(to_wal));
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogIdOf<TypeConfig>>> {
        Ok(self.wal.committed().map(from_wal))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let entries = entries.into_iter().map(|entry| encode(&entry)).collect();
        let done = Box::new(move |result| callback.io_completed(result));
        match self.lone.turn() {
            Some(_turn) => {
                relay::begin();
                self.wal.append_here(entries, done)
            }
            None => self.wal.append(entries, done),
        }
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<TypeConfig>>) -> io::Result<()> {
        completed(|done| self.wal.truncate_after(last.map(|id| id.index), done)).await
    }

    async fn purge(&mut self, upto: LogIdOf<TypeConfig>) -> io::Result<()> {
        // Not awaited: nothing depends on the space, and an error stops the log anyway.
        self.wal.purge(to_wal(&upto), Box::new(|_| ()))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Barrier;
    use std::thread;

    use futures_util::FutureExt;
    use openraft::entry::RaftEntry;

    use super::*;
    use crate::storage::fs::faults::FaultFs;
    use crate::storage::wal::WalOptions;

    /// A purge at any moment of a read must not hide that there is a gap.
    #[tokio::test]
    async fn what_is_read_for_a_follower_begins_where_it_was_asked_for_or_not_at_all() {
        const ROUNDS: u64 = 2_000;
        const ENTRIES: u64 = 8;
        let options = WalOptions {
            segment_bytes: 1 << 20,
            ..WalOptions::default()
        };
        let fs = Arc::new(FaultFs::new());
        let wal = Wal::open(fs, Path::new("/log"), options).expect("it opens");
        let mut store = LogStore::new(wal.clone(), LoneEntry::of(&Handle::current()));
        let mut cut_short = 0;
        for round in 0..ROUNDS {
            let first = round * ENTRIES + 1;
            let id = |index| wal::LogId { term: 1, index };
            let entry = |index| encode(&Entry::new_blank(log_id(1, index)));
            let entries = (first..first + ENTRIES).map(entry).collect();
            wal.append(entries, Box::new(|_| ())).expect("it fits");
            let both = Barrier::new(2);
            let read = thread::scope(|scope| {
                scope.spawn(|| {
                    both.wait();
                    let purged = wal.purge(id(first + ENTRIES / 2), Box::new(|_| ()));
                    purged.expect("it is there");
                });
                both.wait();
                let read = store.limited_get_log_entries(first, first + ENTRIES);
                read.now_or_never()
            });
            let read = read.expect("it waits for nothing").expect("it is sound");
            cut_short += u64::from(read.is_empty());
            if let Some(begins) = read.first() {
                assert_eq!(begins.log_id.index, first, "in round {round}");
            }
        }
        assert!(cut_short > 0, "no purge came before a read");
    }
}
