//! openraft's view of the replicated state machine and its snapshot files.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use openraft::EntryPayload;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::type_config::alias::{LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf};
use tokio::sync::watch;
use tokio::time::Instant;

use super::brief::Brief;
use super::clock::SharedClock;
use super::queries::Queries;
use super::relay;
use super::snapshot_reading::describe;
use super::types::{Entry, TypeConfig, log_id, members_of, plain, stored_membership_of};
use crate::machine::{Answers, HaltError, Machine, Pace, Past};
use crate::metrics::RaftFigures;
use crate::storage::snapshot::{SnapshotFile, SnapshotStore};
use crate::storage::wal::Wal;
use crate::world;

/// Entries applied without giving other tasks of this thread a turn.
const MAX_APPLY_CHUNK: usize = 64;

/// How long to wait before the next attempt to write a snapshot when one has failed.
pub(super) const SNAPSHOT_RETRY_PAUSE: Duration = Duration::from_secs(2);

/// Applies entries, builds and installs snapshots; clones share the machine.
#[derive(Clone)]
pub(crate) struct StateMachine {
    pub(super) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) machine: Machine,
    pub(crate) snapshots: SnapshotStore,
    /// The log, to make the state anew from.
    pub(super) wal: Wal,
    pub(super) cluster_id: u128,
    pub(super) node_id: u64,
    /// Index of the last applied entry, for readers that wait for it.
    applied: watch::Sender<u64>,
    /// The log time of the next wake, for the leader's ticks.
    wakes: watch::Sender<Option<Duration>>,
    /// The index of the last applied entry that emitted an event.
    emitted: watch::Sender<u64>,
    /// Log time as this node would stamp it.
    clock: SharedClock,
    /// Why this replica cannot go on and the node has to stop, once that is so.
    stopped: watch::Sender<Option<String>>,
    /// Why this replica carries out nothing any more while its log goes on.
    pub(super) halted: watch::Sender<Option<String>>,
    /// How this replica differs from the majority: it serves nothing then.
    pub(super) quarantine: watch::Sender<Option<String>>,
    /// The count of verdicts that the quarantine goes by.
    pub(super) verdicts: Mutex<u64>,
    /// Held while a snapshot comes in.
    pub(super) receiving: tokio::sync::Mutex<()>,
    /// Set at shutdown: nothing may be written to the data directory any more.
    closed: AtomicBool,
    /// Held while a snapshot is written.
    pub(super) writing: Mutex<()>,
    /// For the one thread of the runtime that may be busy with the state without saying so.
    brief: Brief,
    /// How long entries take, by their bytes.
    apply_pace: Pace,
    /// How long queries take, by their number.
    query_pace: Pace,
    pub(super) figures: Arc<RaftFigures>,
    /// Reads whose time has come.
    queries: Queries,
}

impl StateMachine {
    pub(crate) fn new(
        machine: Machine,
        snapshots: SnapshotStore,
        wal: Wal,
        cluster_id: u128,
        node_id: u64,
    ) -> Self {
        let runtime = tokio::runtime::Handle::current();
        let clock = SharedClock::new(machine.read().clock());
        StateMachine {
            shared: Arc::new(Shared {
                machine,
                clock,
                snapshots,
                wal,
                cluster_id,
                node_id,
                applied: watch::Sender::new(0),
                wakes: watch::Sender::new(None),
                emitted: watch::Sender::new(0),
                stopped: watch::Sender::new(None),
                halted: watch::Sender::new(None),
                quarantine: watch::Sender::new(None),
                verdicts: Mutex::default(),
                receiving: tokio::sync::Mutex::default(),
                closed: AtomicBool::new(false),
                writing: Mutex::default(),
                brief: Brief::of(&runtime),
                apply_pace: Pace::default(),
                query_pace: Pace::default(),
                figures: Arc::default(),
                queries: Queries::new(runtime.metrics().num_workers()),
            }),
        }
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.shared.machine
    }

    pub(crate) fn snapshots(&self) -> &SnapshotStore {
        &self.shared.snapshots
    }

    /// The index of the last applied entry, as it moves.
    pub(crate) fn watch_applied(&self) -> watch::Receiver<u64> {
        self.shared.applied.subscribe()
    }

    /// The log time of the next wake, as it changes.
    pub(super) fn watch_wakes(&self) -> watch::Receiver<Option<Duration>> {
        self.shared.wakes.subscribe()
    }

    /// The index of the last applied entry that emitted an event, as it moves.
    pub(super) fn watch_emitted(&self) -> watch::Receiver<u64> {
        self.shared.emitted.subscribe()
    }

    pub(super) fn clock(&self) -> &SharedClock {
        &self.shared.clock
    }

    /// Tells of the time, of the next wake and of new events.
    pub(super) fn show(&self) {
        let replica = self.shared.machine.read();
        let (next, last) = (replica.next_wake(), replica.last_event_index());
        self.shared.clock.observe(replica.clock());
        drop(replica);
        let (wakes, emitted) = (&self.shared.wakes, &self.shared.emitted);
        wakes.send_if_modified(|shown| std::mem::replace(shown, next) != next);
        emitted.send_if_modified(|shown| std::mem::replace(shown, last) != last);
    }

    /// Ends what might still write to the data directory, and waits for its end.
    pub(super) fn close(&self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        drop(self.shared.writing.lock());
    }

    /// Refuses to write to a data directory that may belong to another node by now.
    pub(super) fn check_open(&self) -> io::Result<()> {
        if self.is_closed() {
            return Err(io::Error::other("the node is stopping"));
        }
        Ok(())
    }

    fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Relaxed)
    }

    pub(crate) fn watch_stopped(&self) -> watch::Receiver<Option<String>> {
        self.shared.stopped.subscribe()
    }

    pub(crate) fn watch_halted(&self) -> watch::Receiver<Option<String>> {
        self.shared.halted.subscribe()
    }

    /// Runs work on the state at once if it should be brief, and gives it back if not.
    ///
    /// Telling the runtime of every batch would cost two changes of thread, as much as the rest of
    /// a command's way. Work that turns out long keeps one thread of the runtime busy, never two:
    /// another one carries on with the heartbeats, and until the work is quick again the runtime is
    /// told.
    fn if_brief<T, W: FnOnce() -> T>(&self, pace: &Pace, units: usize, work: W) -> Result<T, W> {
        if !pace.is_brief(units) || !self.shared.machine.is_free() {
            return Err(work);
        }
        let Some(_turn) = self.shared.brief.turn() else {
            return Err(work);
        };
        Ok(pace.timed(units, work))
    }

    pub(super) fn queries(&self) -> &Queries {
        &self.shared.queries
    }

    /// Runs queries, this many, here or on a thread where they may take long.
    pub(super) async fn run_queries(&self, queries: usize, work: impl FnOnce() + Send + 'static) {
        let Err(work) = self.if_brief(&self.shared.query_pace, queries, work) else {
            return;
        };
        let shared = self.shared.clone();
        let work = move || shared.query_pace.timed(queries, work);
        if crate::world::is_simulated() {
            return work();
        }
        // An error is a panic, of which the callers hear by their replies, or the end of the runtime.
        drop(tokio::task::spawn_blocking(work).await);
    }

    fn apply_chunk(&self, chunk: Chunk) -> io::Result<()> {
        for next in chunk {
            let (entry, responder) = next?;
            let index = entry.log_id.index;
            let _span = tracing::debug_span!("apply", index).entered();
            let answers = apply_entry(&self.shared.machine, &entry, self)
                .map_err(|error| self.stop(&error))?;
            let Some(answers) = answers else {
                self.skipped(entry.log_id.index);
                // Its callers are told that their attempts are lost.
                drop(responder);
                continue;
            };
            self.shared.figures.note_applied(answers.len());
            self.heed_verdicts();
            self.applied(entry.log_id.index);
            // What a diverged replica says of a command is not to be relied on: its callers are told
            // that their attempts are lost, and hear from the next leader.
            if let Some(responder) = responder
                && !self.is_quarantined()
            {
                responder.send(answers);
            }
        }
        self.show();
        Ok(())
    }

    pub(super) fn applied(&self, index: u64) {
        self.shared.applied.send_if_modified(|applied| {
            let is_further = *applied < index;
            *applied = index.max(*applied);
            is_further
        });
    }

    /// Takes note of an entry that was not carried out here.
    fn skipped(&self, index: u64) {
        let replica = self.shared.machine.read();
        if let Some(why) = replica.halted() {
            self.shared.halted.send_if_modified(|halted| {
                let is_first = halted.is_none();
                if is_first {
                    tracing::error!("{why}");
                    *halted = Some(why.to_owned());
                }
                is_first
            });
        } else if let Some((_, applied)) = replica.applied() {
            // A later snapshot took the place of this entry.
            tracing::debug!(index, applied, "an entry was passed over");
            self.applied(applied);
        }
    }

    fn stop(&self, error: &HaltError) -> io::Error {
        let reason = error.to_string();
        self.shared.stopped.send_replace(Some(reason.clone()));
        io::Error::other(reason)
    }
}

/// Carries out one entry. `None` if the replica has gone past it, or carries out nothing any more.
pub(super) fn apply_entry(
    machine: &Machine,
    entry: &Entry,
    past: &dyn Past,
) -> Result<Option<Answers>, HaltError> {
    let id = plain(&entry.log_id);
    match &entry.payload {
        EntryPayload::Blank => Ok(machine.apply_blank(id)),
        EntryPayload::Membership(membership) => {
            Ok(machine.apply_members(id, members_of(membership)))
        }
        EntryPayload::Normal(batch) => machine.apply_batch(id, batch.0.clone(), past),
    }
}

type Chunk = Vec<io::Result<EntryResponder<TypeConfig>>>;

/// Bytes of commands in a chunk.
fn bytes(chunk: &Chunk) -> usize {
    let entries = chunk.iter().flatten();
    let bytes = entries.map(|(entry, _)| match &entry.payload {
        EntryPayload::Normal(batch) => batch.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 1,
    });
    bytes.sum()
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> io::Result<(Option<LogIdOf<TypeConfig>>, StoredMembershipOf<TypeConfig>)> {
        let replica = self.shared.machine.read();
        let membership = stored_membership_of(replica.members())
            .ok_or_else(|| io::Error::other("the stored members contradict each other"))?;
        Ok((
            replica.applied().map(|(term, index)| log_id(term, index)),
            membership,
        ))
    }

    async fn apply<S>(&mut self, entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + Send,
    {
        let mut chunks = entries.ready_chunks(MAX_APPLY_CHUNK);
        while let Some(chunk) = chunks.next().await {
            // What the last chunk woke runs first: on this thread it would have to wait for us,
            // and it may be raft itself. A lone entry has none before it.
            if !relay::is_open() {
                relay::GiveWay::default().await;
            }
            let (pace, bytes, began) = (&self.shared.apply_pace, bytes(&chunk), Instant::now());
            self.if_brief(pace, bytes, || self.apply_chunk(chunk))
                .unwrap_or_else(|work| world::blocking_here(|| pace.timed(bytes, work)))?;
            self.shared.figures.apply.record(began.elapsed());
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Self::SnapshotBuilder> {
        if !force && self.out_of_service().is_some() {
            // Its state is of no use.
            return None;
        }
        Some(self.clone())
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<TypeConfig>,
        snapshot: SnapshotFile,
    ) -> io::Result<()> {
        world::blocking_here(|| {
            // The state may have been made anew from a later one meanwhile.
            let applied = self.shared.machine.read().applied();
            if applied < meta.last_log_id.as_ref().map(plain) {
                self.load(&snapshot)?;
            }
            self.adopt(&snapshot)
        })
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> io::Result<Option<SnapshotOf<TypeConfig, SnapshotFile>>> {
        self.shared.snapshots.current().map(describe).transpose()
    }
}

impl RaftSnapshotBuilder<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<TypeConfig, SnapshotFile>> {
        loop {
            let error = match world::blocking_here(|| self.write_snapshot()) {
                Ok(file) => return describe(file),
                Err(error) => error,
            };
            if error.kind() == io::ErrorKind::Interrupted {
                // This state is of no use. The snapshot that it is made anew from is as good.
                self.until_in_service().await?;
                continue;
            }
            // A full disk must not stop the node: the log keeps what the snapshot would have
            // replaced. Any other error does: what the disk says can no longer be trusted.
            if error.kind() != io::ErrorKind::StorageFull || self.is_closed() {
                return Err(error);
            }
            tracing::error!(%error, "no snapshot was written; free disk space; it is tried again");
            tokio::time::sleep(SNAPSHOT_RETRY_PAUSE).await;
            if self.is_closed() {
                return Err(error);
            }
        }
    }
}
