//! openraft's view of the replicated state machine and its snapshot files.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt};
use openraft::EntryPayload;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine, Snapshot};
use openraft::type_config::alias::{LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf};
use tokio::sync::watch;

use super::brief::Brief;
use super::types::{Entry, TypeConfig, log_id, members_of, plain, stored_membership_of};
use crate::codec;
use crate::machine::{Answers, HaltError, Machine, Pace, SnapshotHeader};
use crate::storage::snapshot::{SnapshotFile, SnapshotStore};

/// Entries applied without giving other tasks of this thread a turn.
const MAX_APPLY_CHUNK: usize = 64;

/// Bytes of a snapshot file copied at once.
const COPY_CHUNK_BYTES: usize = 1 << 20;

/// How long to wait before the next attempt to write a snapshot when one has failed.
const SNAPSHOT_RETRY_PAUSE: Duration = Duration::from_secs(2);

/// Applies entries, builds and installs snapshots; clones share the machine.
#[derive(Clone)]
pub(crate) struct StateMachine {
    pub(super) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) machine: Machine,
    pub(crate) snapshots: SnapshotStore,
    pub(super) cluster_id: u128,
    /// Index of the last applied entry, for readers that wait for it.
    applied: watch::Sender<u64>,
    /// Why this replica stopped applying, once it has.
    halted: watch::Sender<Option<String>>,
    /// Set at shutdown: nothing may be written to the data directory any more.
    closed: AtomicBool,
    /// Held while a snapshot is written.
    pub(super) writing: Mutex<()>,
    /// Whether the runtime can be told that a thread of it is busy.
    may_block: bool,
    /// For the one thread of the runtime that may be busy with the state without saying so.
    brief: Brief,
    /// How long entries take, by their bytes.
    apply_pace: Pace,
    /// How long queries take, by their number.
    query_pace: Pace,
}

impl StateMachine {
    pub(crate) fn new(machine: Machine, snapshots: SnapshotStore, cluster_id: u128) -> Self {
        let runtime = tokio::runtime::Handle::current();
        let may_block = runtime.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread;
        StateMachine {
            shared: Arc::new(Shared {
                machine,
                snapshots,
                cluster_id,
                applied: watch::Sender::new(0),
                halted: watch::Sender::new(None),
                closed: AtomicBool::new(false),
                writing: Mutex::default(),
                may_block,
                brief: Brief::of(&runtime),
                apply_pace: Pace::default(),
                query_pace: Pace::default(),
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

    pub(crate) fn watch_halted(&self) -> watch::Receiver<Option<String>> {
        self.shared.halted.subscribe()
    }

    /// Runs something that may take long without holding up the heartbeats of this node.
    fn blocking<T>(&self, work: impl FnOnce() -> T) -> T {
        if self.shared.may_block {
            tokio::task::block_in_place(work)
        } else {
            work()
        }
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
        Ok(timed(pace, units, work))
    }

    /// Runs queries, this many, here or on a thread where they may take long.
    pub(super) fn run_queries(&self, queries: usize, work: impl FnOnce() + Send + 'static) {
        let pace = &self.shared.query_pace;
        if let Err(work) = self.if_brief(pace, queries, work) {
            let shared = self.shared.clone();
            let work = move || timed(&shared.query_pace, queries, work);
            drop(tokio::task::spawn_blocking(work));
        }
    }

    fn apply_chunk(&self, chunk: Chunk) -> io::Result<()> {
        for next in chunk {
            let (entry, responder) = next?;
            let answers =
                apply_entry(&self.shared.machine, &entry).map_err(|error| self.halt(&error))?;
            self.shared.applied.send_replace(entry.log_id.index);
            if let Some(responder) = responder {
                responder.send(answers);
            }
        }
        Ok(())
    }

    fn halt(&self, error: &HaltError) -> io::Error {
        let reason = error.to_string();
        self.shared.halted.send_replace(Some(reason.clone()));
        io::Error::other(reason)
    }

    /// Loads a snapshot file into the machine.
    pub(crate) fn load(&self, file: &SnapshotFile) -> io::Result<()> {
        let cluster_id = Some(self.shared.cluster_id);
        let applied = load_file(&self.shared.machine, cluster_id, file)?;
        self.shared
            .applied
            .send_replace(applied.map_or(0, |(_, index)| index));
        Ok(())
    }
}

/// Carries out one entry.
pub(super) fn apply_entry(machine: &Machine, entry: &Entry) -> Result<Answers, HaltError> {
    let id = plain(&entry.log_id);
    match &entry.payload {
        EntryPayload::Blank => machine.apply_blank(id),
        EntryPayload::Membership(membership) => machine.apply_members(id, members_of(membership)),
        EntryPayload::Normal(batch) => return machine.apply_batch(id, batch.0.clone()),
    }
    Ok(Answers::new())
}

/// Loads a snapshot file, of this cluster if one is given; the log id of its last entry.
pub(super) fn load_file(
    machine: &Machine,
    cluster_id: Option<u128>,
    file: &SnapshotFile,
) -> io::Result<Option<(u64, u64)>> {
    let header: SnapshotHeader = read_header(file)?;
    if let Some(ours) = cluster_id
        && header.cluster_id != format!("{ours:032x}")
    {
        return Err(io::Error::other(format!(
            "snapshot {} belongs to cluster {}, this node to {ours:032x}; nothing was installed",
            file.path.display(),
            header.cluster_id,
        )));
    }
    let applied = header.applied;
    let mut loading = machine.load(header).map_err(io::Error::other)?;
    let mut sections = file.sections();
    while let Some((name, mut from)) = sections.next_section().map_err(io::Error::other)? {
        loading
            .section(&name, &mut from)
            .map_err(io::Error::other)?;
    }
    loading.finish().map_err(io::Error::other)?;
    Ok(applied)
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

fn timed<T>(pace: &Pace, units: usize, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = work();
    pace.note(units, began.elapsed());
    result
}

fn read_header(file: &SnapshotFile) -> io::Result<SnapshotHeader> {
    codec::decode(&file.meta).map_err(|error| {
        io::Error::other(format!(
            "the header of snapshot {} cannot be read: {error}",
            file.path.display()
        ))
    })
}

/// What openraft knows of a snapshot, from the file's header.
pub(super) fn describe(file: SnapshotFile) -> io::Result<SnapshotOf<TypeConfig, SnapshotFile>> {
    let header = read_header(&file)?;
    let last_membership = stored_membership_of(&header.members)
        .ok_or_else(|| io::Error::other("the members in the snapshot contradict each other"))?;
    let last_log_id = header.applied.map(|(term, index)| log_id(term, index));
    let meta = SnapshotMetaOf::<TypeConfig> {
        last_log_id,
        last_membership,
    };
    Ok(Snapshot {
        meta,
        snapshot: file,
    })
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
            // and it may be raft itself.
            tokio::task::yield_now().await;
            let (pace, bytes) = (&self.shared.apply_pace, bytes(&chunk));
            self.if_brief(pace, bytes, || self.apply_chunk(chunk))
                .unwrap_or_else(|work| self.blocking(|| timed(pace, bytes, work)))?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        _meta: &SnapshotMetaOf<TypeConfig>,
        snapshot: SnapshotFile,
    ) -> io::Result<()> {
        self.blocking(|| {
            self.load(&snapshot)?;
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
            let error = match self.blocking(|| self.write_snapshot()) {
                Ok(file) => return describe(file),
                Err(error) => error,
            };
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

impl StateMachine {
    /// Makes a file the current snapshot of this node's store, if it is not.
    fn adopt(&self, file: &SnapshotFile) -> io::Result<()> {
        let store = &self.shared.snapshots;
        let is_current = |current: SnapshotFile| current.file_id == file.file_id;
        if store.current().is_some_and(is_current) {
            return Ok(());
        }
        let mut receiver = store
            .receive(&file.file_id, file.bytes)
            .map_err(io::Error::other)?;
        while receiver.offset() < file.bytes {
            let offset = receiver.offset();
            let chunk = file.read_at(offset, COPY_CHUNK_BYTES)?;
            receiver.write(offset, &chunk).map_err(io::Error::other)?;
        }
        receiver.finish().map(drop).map_err(io::Error::other)
    }
}
