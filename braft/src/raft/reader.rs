//! Linearizable reads: one confirmation of leadership for all readers that wait.
//!
//! Source: Ongaro's dissertation, section 6.4 (ReadIndex, and leases).

use std::sync::Arc;

use bytes::Bytes;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::{ReadPolicy, ServerState};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;

use super::Raft;
use super::lease::Lease;
use super::load::{Load, Place};
use super::queries;
use super::state_machine::StateMachine;
use crate::error::Error;
use crate::planted::{self, Bug};
use crate::request::{Refusal, Reply, ReplyTo};
use crate::world;

/// Confirmations under way at once: while one travels, the next one's readers gather.
pub(crate) const MAX_CONFIRMATIONS: usize = 2;
/// Readers that share one confirmation.
pub(crate) const MAX_READERS: usize = 4096;
/// Reads admitted and not yet answered; beyond it the node is busy.
pub(crate) const MAX_WAITING_READS: usize = 65_536;
/// Bytes of reads admitted and not yet answered; beyond it the node is busy.
const MAX_WAITING_BYTES: usize = 64 << 20;
/// What a waiting read takes in memory beside its query, roughly.
const READ_OVERHEAD_BYTES: usize = 128;
/// Why a read is refused that would be answered too late.
pub(super) const TOO_LATE: &str =
    "the reads that wait on this node take longer than the time this one has; back off";

/// Why a leader that hears nothing answers nothing.
pub(super) const OUT_OF_TOUCH: &str = "this node leads but has lost touch with the others";

/// A query, and what it must have seen.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) service: Arc<str>,
    pub(crate) payload: Bytes,
    pub(crate) min_index: u64,
    pub(crate) deadline: Instant,
    pub(crate) reply: ReplyTo,
}

/// A read that has its place among those the node has taken in.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) read: Read,
    place: Place,
}

impl Admitted {
    pub(super) fn load(&self) -> &Arc<Load> {
        self.place.load()
    }
}

/// The reads of one node.
pub(super) fn load() -> Arc<Load> {
    Load::at_most(MAX_WAITING_READS, MAX_WAITING_BYTES)
}

/// Gives a read its place, or refuses it as busy with nothing done.
pub(super) fn admit(load: &Arc<Load>, read: Read) -> Option<Admitted> {
    let items = load.items();
    let left = read.deadline.saturating_duration_since(Instant::now());
    if !load.drain().admits(items, items / MAX_READERS, left) {
        read.reply.refuse(Refusal::busy(TOO_LATE));
        return None;
    }
    match load.place(read.payload.len() + READ_OVERHEAD_BYTES) {
        Some(place) => Some(Admitted { read, place }),
        None => {
            read.reply.refuse(Error::busy(format!(
                "this node has {MAX_WAITING_READS} reads or {} MiB of them under way; \
                 back off and try again",
                MAX_WAITING_BYTES >> 20
            )));
            None
        }
    }
}

/// Who waits for a confirmation.
#[derive(Debug)]
enum Waiting {
    Read(Admitted),
    /// Wants nothing but the index: another node, for its own readers.
    Index(ReplyTo),
}

impl Waiting {
    fn refuse(self, refusal: Refusal) {
        match self {
            Waiting::Read(Admitted { read, .. }) => read.reply.refuse(refusal),
            Waiting::Index(reply) => reply.refuse(refusal),
        }
    }
}

/// Takes queries on the leader and answers them linearizably.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    queue: mpsc::Sender<Waiting>,
}

/// How a reader makes sure that no other leader has taken over.
#[derive(Clone)]
pub(super) struct Confirmation {
    pub(super) raft: Raft,
    pub(super) in_touch: watch::Receiver<bool>,
    /// Spares the exchange with the others while it is held.
    pub(super) lease: Option<Lease>,
}

impl Reader {
    pub(super) fn start(confirmation: Confirmation, machine: StateMachine) -> Self {
        let (queue, reads) = mpsc::channel(MAX_WAITING_READS);
        world::spawn(run(confirmation, machine, reads));
        Reader { queue }
    }

    pub(super) fn read(&self, read: Admitted) {
        self.wait(Waiting::Read(read));
    }

    /// Says up to where a read that begins now has to see the log.
    pub(super) fn index(&self, reply: ReplyTo) {
        self.wait(Waiting::Index(reply));
    }

    fn wait(&self, waiting: Waiting) {
        match self.queue.try_send(waiting) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(waiting)) => {
                let message = format!("{MAX_WAITING_READS} reads wait on this node; back off");
                waiting.refuse(Refusal::busy(message));
            }
            Err(mpsc::error::TrySendError::Closed(waiting)) => {
                waiting.refuse(Refusal::not_here("this node is stopping", None));
            }
        }
    }
}

async fn run(
    confirmation: Confirmation,
    machine: StateMachine,
    mut waiting: mpsc::Receiver<Waiting>,
) {
    let confirmations = Arc::new(Semaphore::new(MAX_CONFIRMATIONS));
    loop {
        let mut batch = Vec::new();
        if waiting.recv_many(&mut batch, MAX_READERS).await == 0 {
            return;
        }
        let Ok(permit) = confirmations.clone().acquire_owned().await else {
            return;
        };
        while batch.len() < MAX_READERS
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
        let (confirmation, machine) = (confirmation.clone(), machine.clone());
        world::spawn(async move {
            // The confirmation began after each of these reads arrived: that makes it theirs.
            let confirmed = confirmation.confirm().await;
            drop(permit);
            match confirmed {
                Ok(index) => serve(&machine, index, batch).await,
                Err(refuse) => batch.into_iter().for_each(|next| next.refuse(refuse())),
            }
        });
    }
}

async fn serve(machine: &StateMachine, index: u64, batch: Vec<Waiting>) {
    let mut reads = Vec::with_capacity(batch.len());
    for waiting in batch {
        match waiting {
            Waiting::Read(read) => reads.push(read),
            Waiting::Index(reply) => reply.send(Reply {
                index,
                result: Ok(Bytes::new()),
            }),
        }
    }
    answer(machine, index, reads).await;
}

type Refuse = Box<dyn Fn() -> Refusal + Send>;

impl Confirmation {
    /// The log index that a read beginning now has to see.
    async fn confirm(mut self) -> Result<u64, Refuse> {
        if let Some(index) = self.by_lease().await {
            return Ok(index);
        }
        if planted::is(Bug::SkipReadIndex)
            && let Some(index) = self.raft.metrics().borrow_watched().last_applied
        {
            return Ok(index.index());
        }
        let confirmed = tokio::select! {
            confirmed = self.raft.get_read_log_id(ReadPolicy::ReadIndex) => confirmed,
            _ = self.in_touch.wait_for(|in_touch| !in_touch) => {
                return Err(Box::new(|| Refusal::not_here(OUT_OF_TOUCH, None)));
            }
        };
        match confirmed {
            Ok((read, _)) => Ok(read.index()),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward))) => {
                let leader = forward.leader_node.map(|node| node.address);
                Err(Box::new(move || {
                    Refusal::not_here("this node is not the leader", leader.clone())
                }))
            }
            Err(error) => {
                let text = format!("leadership could not be confirmed: {error}");
                Err(Box::new(move || Refusal::not_here(text.clone(), None)))
            }
        }
    }

    /// The same without asking anybody, while the lease is held.
    ///
    /// The order counts. The token is looked at last: if it is valid then, no later leader had been
    /// elected when the commit index was read, so that index covers whatever had been acknowledged
    /// by then. It is raft's own, not that of the metrics, which come later than the notice of a
    /// commit that went to the followers. A token is issued once an entry of its term is applied:
    /// what earlier leaders acknowledged is covered too.
    async fn by_lease(&self) -> Option<u64> {
        let token = self.lease.as_ref()?.tokens().borrow().clone()?;
        if !token.is_valid() {
            return None;
        }
        let seen = self.raft.with_raft_state(|state| {
            let leads = state.server_state == ServerState::Leader;
            let term = state.vote_ref().leader_id.term;
            let committed = state.cluster_committed().map(|id| id.index);
            committed.filter(|_| leads).map(|index| (term, index))
        });
        let (term, index) = seen.await.ok()??;
        (term == token.term() && token.is_valid()).then_some(index)
    }
}

/// Waits until the state has seen `index`, then answers all reads from it.
pub(super) async fn answer(machine: &StateMachine, index: u64, reads: Vec<Admitted>) {
    let index = reads
        .iter()
        .map(|admitted| admitted.read.min_index)
        .fold(index, u64::max);
    let Some(last_deadline) = reads.iter().map(|admitted| admitted.read.deadline).max() else {
        return;
    };
    let mut applied = machine.watch_applied();
    let ready = applied.wait_for(|applied| *applied >= index);
    let mut halted = machine.watch_halted();
    let is_ready = tokio::select! {
        ready = tokio::time::timeout_at(last_deadline, ready) => matches!(ready, Ok(Ok(_))),
        // Then it never gets there; the answers say why.
        Ok(_) = halted.wait_for(Option::is_some) => true,
    };
    if machine.out_of_service().is_some() {
        return queries::refuse_all(machine, reads);
    }
    if !is_ready {
        for Admitted { read, .. } in reads {
            let text = "the state did not reach the read's log index before the deadline";
            read.reply.refuse(Refusal::not_here(text, None));
        }
        return;
    }
    queries::carry_out(machine, reads).await;
}
