//! From single commands to log entries: fills an entry while the last ones are on their way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use openraft::errors::ClientWriteError;
use tokio::sync::{Semaphore, mpsc};

use super::Raft;
use super::clock::LogClock;
use super::responder::Responder;
use super::state_machine::StateMachine;
use super::types::{Batch, TypeConfig};
use crate::entry::{EntryWriter, Item};
use crate::error::Error;
use crate::request::{Refusal, Reply, ReplyTo};

/// Entries proposed and not yet applied. Two: one is being written while the next one fills; more
/// would only make entries smaller.
const MAX_ENTRIES_IN_FLIGHT: usize = 2;
/// Items in one entry: the place of an item in its entry has to fit 16 bits.
const MAX_ITEMS_PER_ENTRY: usize = 4096;
/// Bytes of one entry, unless a single item is larger.
const MAX_ENTRY_BYTES: usize = 512 << 10;
/// Items admitted and not yet answered; beyond it the node is busy.
const MAX_PENDING_ITEMS: usize = 32_768;
/// Bytes of items admitted and not yet answered; beyond it the node is busy.
const MAX_PENDING_BYTES: usize = 64 << 20;

/// An item for the log and the way back for its answer.
#[derive(Debug)]
pub(crate) struct Proposal {
    pub(crate) item: Item,
    pub(crate) deadline: Instant,
    pub(crate) reply: ReplyTo,
}

/// Takes proposals on the leader and puts them into the log in batches.
#[derive(Clone, Debug)]
pub(crate) struct Proposer {
    queue: mpsc::UnboundedSender<Proposal>,
    load: Arc<Load>,
}

/// What is admitted and not yet answered.
#[derive(Debug, Default)]
struct Load {
    items: AtomicUsize,
    bytes: AtomicUsize,
}

impl Load {
    fn admit(&self, bytes: usize) -> bool {
        let items = self.items.fetch_add(1, Ordering::Relaxed) + 1;
        let total = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if items <= MAX_PENDING_ITEMS && total <= MAX_PENDING_BYTES {
            return true;
        }
        self.release(1, bytes);
        false
    }

    fn release(&self, items: usize, bytes: usize) {
        self.items.fetch_sub(items, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Proposer {
    /// Starts the task that proposes; it ends when the last handle is dropped.
    pub(crate) fn start(raft: Raft, machine: StateMachine) -> Self {
        let (queue, proposals) = mpsc::unbounded_channel();
        let load = Arc::new(Load::default());
        let last_stamp = machine.machine().read().clock();
        let task = Task {
            raft,
            clock: LogClock::new(last_stamp, Instant::now()),
            machine,
            load: load.clone(),
            in_flight: Arc::new(Semaphore::new(MAX_ENTRIES_IN_FLIGHT)),
        };
        tokio::spawn(task.run(proposals));
        Proposer { queue, load }
    }

    /// Takes an item for the log, or refuses it as busy with nothing done.
    pub(crate) fn propose(&self, proposal: Proposal) {
        if !self.load.admit(size(&proposal.item)) {
            let message = format!(
                "this node has {MAX_PENDING_ITEMS} commands or {} MiB of them under way; \
                 back off and try again",
                MAX_PENDING_BYTES >> 20
            );
            return proposal.reply.refuse(Error::busy(message));
        }
        if let Err(mpsc::error::SendError(proposal)) = self.queue.send(proposal) {
            proposal
                .reply
                .refuse(Refusal::not_here("this node is stopping", None));
        }
    }
}

/// Bytes that an item takes in memory and in its entry, roughly.
fn size(item: &Item) -> usize {
    const OVERHEAD: usize = 64;
    match item {
        Item::Command {
            service, payload, ..
        } => OVERHEAD + service.len() + payload.len(),
        Item::SeedSettings { settings } => OVERHEAD + settings.len(),
        Item::OpenSession | Item::CloseSession { .. } => OVERHEAD,
    }
}

struct Task {
    raft: Raft,
    machine: StateMachine,
    clock: LogClock,
    load: Arc<Load>,
    in_flight: Arc<Semaphore>,
}

impl Task {
    async fn run(mut self, mut proposals: mpsc::UnboundedReceiver<Proposal>) {
        let mut waiting = Vec::new();
        while proposals.recv_many(&mut waiting, MAX_ITEMS_PER_ENTRY).await > 0 {
            let Ok(permit) = self.in_flight.clone().acquire_owned().await else {
                return;
            };
            // What arrived while the last entries were under way joins this one.
            while waiting.len() < MAX_ITEMS_PER_ENTRY
                && let Ok(proposal) = proposals.try_recv()
            {
                waiting.push(proposal);
            }
            let mut batch = waiting.drain(..).peekable();
            let mut permit = Some(permit);
            while batch.peek().is_some() {
                let permit = match permit.take() {
                    Some(permit) => permit,
                    None => match self.in_flight.clone().acquire_owned().await {
                        Ok(permit) => permit,
                        Err(_) => return,
                    },
                };
                let (entry, replies) = fill(&mut self.clock, &self.machine, &self.load, &mut batch);
                if let Some(entry) = entry {
                    send(&self.raft, entry, replies, permit, self.load.clone()).await;
                }
            }
        }
    }
}

/// The replies of one entry and what they weigh.
struct Replies {
    to: Vec<ReplyTo>,
    bytes: usize,
}

/// Moves proposals into one entry until it is full. Overdue ones are refused: nobody waits.
fn fill(
    clock: &mut LogClock,
    machine: &StateMachine,
    load: &Load,
    batch: &mut std::iter::Peekable<impl Iterator<Item = Proposal>>,
) -> (Option<Bytes>, Replies) {
    let now = Instant::now();
    let applied = machine.machine().read().clock();
    let mut entry = EntryWriter::new(clock.stamp(applied, now, SystemTime::now()), seed());
    let mut replies = Replies {
        to: Vec::new(),
        bytes: 0,
    };
    while let Some(proposal) = batch
        .next_if(|next| entry.items() == 0 || entry.len() + size(&next.item) <= MAX_ENTRY_BYTES)
    {
        let bytes = size(&proposal.item);
        if proposal.deadline <= now {
            load.release(1, bytes);
            let refusal =
                Refusal::not_here("the deadline passed before the command was sent", None);
            proposal.reply.refuse(refusal);
            continue;
        }
        entry.push(&proposal.item);
        replies.to.push(proposal.reply);
        replies.bytes += bytes;
    }
    let bytes = (entry.items() > 0).then(|| entry.finish());
    (bytes, replies)
}

/// A seed for the random numbers of one entry.
fn seed() -> u64 {
    getrandom::u64().expect("the operating system gives random numbers")
}

async fn send(
    raft: &Raft,
    entry: Bytes,
    replies: Replies,
    permit: tokio::sync::OwnedSemaphorePermit,
    load: Arc<Load>,
) {
    let responder = Responder::new(move |result| {
        drop(permit);
        load.release(replies.to.len(), replies.bytes);
        answer(replies.to, result);
    });
    // On an error raft has stopped: the dropped responder tells the callers that their attempt
    // was lost.
    let sent = raft.client_write_ff(Batch(entry), Some(responder)).await;
    if let Err(error) = sent {
        tracing::debug!(%error, "raft takes no more entries");
    }
}

fn answer(replies: Vec<ReplyTo>, result: openraft::raft::ClientWriteResult<TypeConfig>) {
    match result {
        Ok(response) => {
            let index = response.log_id.index;
            debug_assert_eq!(replies.len(), response.data.len());
            for (reply, result) in replies.into_iter().zip(response.data) {
                reply.send(Reply { index, result });
            }
        }
        // Refused before it was appended: surely nothing happened.
        Err(ClientWriteError::ForwardToLeader(forward)) => {
            let leader = forward.leader_node.map(|node| node.address);
            for reply in replies {
                reply.refuse(Refusal::not_here(
                    "this node is not the leader",
                    leader.clone(),
                ));
            }
        }
        Err(error) => {
            for reply in replies {
                reply.refuse(Refusal::lost(format!("the leader changed: {error}")));
            }
        }
    }
}
