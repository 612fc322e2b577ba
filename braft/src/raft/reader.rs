//! Linearizable reads: one confirmation of leadership for all readers that wait.
//!
//! Source: Ongaro's dissertation, section 6.4 (ReadIndex, and leases).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::{ReadPolicy, ServerState};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;

use super::Raft;
use super::lease::Lease;
use super::load::{Load, Place};
use super::state_machine::StateMachine;
use crate::error::Error;
use crate::planted::{self, Bug};
use crate::request::{Refusal, Reply, ReplyTo};

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
const TOO_LATE: &str =
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
        tokio::spawn(run(confirmation, machine, reads));
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
        tokio::spawn(async move {
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
        for Admitted { read, .. } in reads {
            let refusal = machine.out_of_service();
            read.reply
                .refuse(refusal.unwrap_or_else(|| Refusal::not_here("about to serve again", None)));
        }
        return;
    }
    if !is_ready {
        for Admitted { read, .. } in reads {
            let text = "the state did not reach the read's log index before the deadline";
            read.reply.refuse(Refusal::not_here(text, None));
        }
        return;
    }
    let mut reads = reads.into_iter();
    while let Some(first) = reads.as_slice().first() {
        let load = first.place.load().clone();
        let count = load.drain().next_batch().min(reads.len());
        let replica = machine.clone();
        // Queries may take long, and must not hold up the tasks of this thread.
        let some = machine.run_queries(count, move || {
            carry_out(&replica, &load, &mut reads);
            reads
        });
        match some.await {
            Some(rest) => reads = rest,
            None => return,
        }
        if !reads.as_slice().is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

/// Answers the next of the reads.
fn carry_out(machine: &StateMachine, load: &Load, reads: &mut impl Iterator<Item = Admitted>) {
    let begun = Instant::now();
    let some = next_in_time(load, reads, begun);
    if some.is_empty() {
        return;
    }
    let queries = some
        .iter()
        .map(|Admitted { read, .. }| (read.service.clone(), read.payload.clone()));
    let answers = machine.machine().query(queries.collect());
    let now = Instant::now();
    load.drain().note(some.len(), begun, now);
    for (Admitted { read, .. }, answer) in some.into_iter().zip(answers) {
        match answer {
            Ok((answer, index)) => {
                let result = Ok(answer);
                read.reply.send_at(Reply { index, result }, Some(now));
            }
            Err(refusal) => read.reply.refuse(refusal),
        }
    }
}

/// The next reads to carry out together. Those that are not expected to be answered by their deadline
/// are refused: no work is spent on them.
fn next_in_time(
    load: &Load,
    reads: &mut impl Iterator<Item = Admitted>,
    now: Instant,
) -> Vec<Admitted> {
    let most = load.drain().next_batch();
    let mut some = Vec::new();
    while some.len() < most
        && let Some(admitted) = reads.next()
    {
        // The first one is carried out in any case: what is expected may be wrong, and this shows.
        let takes = match some.len() {
            0 => Duration::ZERO,
            before => load.drain().wait(before + 1, 1),
        };
        if admitted.read.deadline <= now + takes {
            admitted.read.reply.refuse(Refusal::busy(TOO_LATE));
            continue;
        }
        some.push(admitted);
    }
    some
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::error::{ErrorKind, Outcome};

    #[test]
    fn reads_that_would_be_answered_too_late_are_refused_and_those_in_time_are_not() {
        const ITEM: Duration = Duration::from_micros(100);
        let (load, mut now) = (load(), Instant::now());
        for items in [100, 200, 300, 400] {
            let begun = now;
            now += ITEM * items;
            load.drain().note(items as usize, begun, now);
        }
        let mut answers = Vec::new();
        let mut read = |left| {
            let (reply, answer) = oneshot::channel();
            answers.push(answer);
            admit(
                &load,
                Read {
                    service: "".into(),
                    payload: Bytes::new(),
                    min_index: 0,
                    deadline: now + left,
                    reply: ReplyTo::Task(reply),
                },
            )
            .expect("there is room")
        };
        let reads: Vec<_> = (0..60).map(|_| read(ITEM * 600)).collect();
        let late: Vec<_> = (0..60).map(|_| read(ITEM * 70)).collect();
        let mut all = reads.into_iter().chain(late);
        let some = next_in_time(&load, &mut all, now);
        assert!(all.next().is_none() && some.len() >= 60 && some.len() < 80);
        let refused = answers
            .iter_mut()
            .filter_map(|answer| answer.try_recv().ok());
        let refused: Vec<_> = refused.filter_map(|reply| reply.result.err()).collect();
        assert_eq!(some.len() + refused.len(), 120);
        for refusal in refused {
            assert_eq!(refusal.kind, ErrorKind::Busy);
            assert_eq!(refusal.outcome, Outcome::NotApplied);
        }
    }
}
