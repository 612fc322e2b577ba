//! From single commands to log entries: fills an entry while the last ones are on their way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use openraft::errors::ClientWriteError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::unconstrained;
use tokio::time::Instant;
use tracing::field::Empty;

use super::Raft;
use super::load::Load;
use super::log_storage::LoneEntry;
use super::reader::OUT_OF_TOUCH;
use super::responder::Responder;
use super::seeds::Seeds;
use super::state_machine::StateMachine;
use super::timekeeper::Timekeeper;
use super::types::{Batch, TypeConfig};
use crate::entry::{EntryWriter, Item};
use crate::error::Error;
use crate::machine::Replica;
use crate::metrics::RaftFigures;
use crate::request::{Refusal, Reply, ReplyTo};
use crate::world;

/// Entries proposed and not yet applied. Two: one is being written while the next one fills; more
/// would only make entries smaller.
const MAX_ENTRIES_IN_FLIGHT: usize = 2;
/// A second entry goes while one is under way as soon as it has this part of the other's items to carry.
/// One that carries few costs all nodes as much as one that carries many, and its callers' next
/// commands then go apart from those of the others, too.
const SECOND_ENTRY_PART: usize = 2;
/// Items in one entry: the place of an item in its entry has to fit 16 bits.
const MAX_ITEMS_PER_ENTRY: usize = 4096;
/// Bytes of one entry, unless a single item is larger.
const MAX_ENTRY_BYTES: usize = 512 << 10;
/// Items admitted and not yet answered; beyond it the node is busy.
pub(crate) const MAX_PENDING_ITEMS: usize = 32_768;
/// Bytes of items admitted and not yet answered; beyond it the node is busy.
const MAX_PENDING_BYTES: usize = 64 << 20;

/// What waits shorter than this is not looked through for those that come too late.
const SOON: Duration = Duration::from_millis(10);

/// Why a command is refused that would be answered too late.
pub(crate) const TOO_LATE: &str =
    "the commands that wait on the leader take longer than the time this one has; back off";

/// An item for the log and the way back for its answer.
#[derive(Debug)]
pub(crate) struct Proposal {
    pub(crate) item: Item,
    pub(crate) deadline: Instant,
    pub(crate) reply: ReplyTo,
}

/// Takes proposals on the leader and puts them into the log in batches.
#[derive(Clone)]
pub(crate) struct Proposer {
    queue: mpsc::UnboundedSender<Proposal>,
    in_touch: watch::Receiver<bool>,
    line: Arc<Line>,
}

impl Proposer {
    /// Starts the task that proposes; it ends when the last handle is dropped.
    pub(crate) fn start(
        raft: Raft,
        machine: StateMachine,
        in_touch: watch::Receiver<bool>,
        lone: LoneEntry,
        time: Timekeeper,
    ) -> Self {
        let (queue, proposals) = mpsc::unbounded_channel();
        let load = Load::at_most(MAX_PENDING_ITEMS, MAX_PENDING_BYTES);
        let line = Arc::new(Line {
            raft,
            time,
            figures: machine.shared.figures.clone(),
            machine,
            load,
            in_flight: Arc::new(Semaphore::new(MAX_ENTRIES_IN_FLIGHT)),
            lone,
            was_lone: AtomicBool::new(false),
            sent: Arc::default(),
            seeds: Seeds::new(),
        });
        let task = Task {
            line: line.clone(),
            in_touch: in_touch.clone(),
        };
        world::spawn(task.run(proposals));
        Proposer {
            queue,
            in_touch,
            line,
        }
    }

    /// Whether a command that comes now is expected to be answered by its deadline. Asked before
    /// anything is spent on it: to refuse has to be far cheaper than to serve.
    pub(crate) fn expects_in_time(&self, left: Duration) -> bool {
        let load = &self.line.load;
        let (items, bytes) = load.under_way();
        let entries = (items / MAX_ITEMS_PER_ENTRY).max(bytes / MAX_ENTRY_BYTES);
        load.drain().admits(items, entries, left)
    }

    /// The number of items admitted and not yet answered, and their bytes.
    pub(crate) fn under_way(&self) -> (usize, usize) {
        self.line.load.under_way()
    }

    /// Takes an item for the log, or refuses it as busy with nothing done.
    pub(crate) fn propose(&self, proposal: Proposal) {
        if !self.line.load.admit(size(&proposal.item)) {
            let message = format!(
                "this node has {MAX_PENDING_ITEMS} commands or {} MiB of them under way; \
                 back off and try again",
                MAX_PENDING_BYTES >> 20
            );
            return proposal.reply.refuse(Error::busy(message));
        }
        let Some(proposal) = self.send_at_once(proposal) else {
            return;
        };
        if let Err(mpsc::error::SendError(proposal)) = self.queue.send(proposal) {
            proposal
                .reply
                .refuse(Refusal::not_here("this node is stopping", None));
        }
    }

    /// Sends a command that finds nothing else under way, from its caller's own task: for a lone one,
    /// the change to the task that fills entries costs more than filling its entry. Not if the last
    /// entry held several: then more are about to come, and go together.
    fn send_at_once(&self, proposal: Proposal) -> Option<Proposal> {
        let line = &self.line;
        let is_lone = line.load.items() == 1 && line.was_lone.load(Ordering::Relaxed);
        if !is_lone || !*self.in_touch.borrow() {
            return Some(proposal);
        }
        let Ok(permit) = line.in_flight.clone().try_acquire_owned() else {
            return Some(proposal);
        };
        let (entry, replies) = line.fill(&mut VecDeque::from([proposal]));
        if let Some(entry) = entry {
            // Raft's queue has room, or the callers are told that the attempt is lost.
            let _ = unconstrained(line.send(entry, replies, permit)).now_or_never();
            if !*self.in_touch.borrow() {
                // Whoever was told to give up may have looked before this entry was there.
                line.sent.give_up(&line.load);
            }
        }
        None
    }
}

impl std::fmt::Debug for Proposer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let load = &self.line.load;
        f.debug_struct("Proposer")
            .field("load", load)
            .finish_non_exhaustive()
    }
}

/// Bytes that an item takes in memory and in its entry, roughly.
fn size(item: &Item) -> usize {
    const OVERHEAD: usize = 64;
    match item {
        Item::Command {
            key,
            service,
            payload,
            ..
        } => OVERHEAD + key.as_ref().map_or(0, Bytes::len) + service.len() + payload.len(),
        Item::SeedSettings { settings } => OVERHEAD + settings.len(),
        Item::ActivateVersions { versions } => OVERHEAD + versions.len(),
        Item::ChangeSettings { changes } => OVERHEAD + changes.len(),
        Item::ClearPanics { service, method } => OVERHEAD + service.len() + method.len(),
        Item::DigestReport { digests, .. } => {
            let parts = digests.iter().map(|(part, _)| OVERHEAD + part.len());
            OVERHEAD + parts.sum::<usize>()
        }
        Item::NoteRemoval { .. } | Item::SkipPanicked { .. } | Item::DigestMark => OVERHEAD,
        Item::OpenSession | Item::CloseSession { .. } | Item::Tick => OVERHEAD,
    }
}

/// What it takes to send an entry.
struct Line {
    raft: Raft,
    machine: StateMachine,
    time: Timekeeper,
    figures: Arc<RaftFigures>,
    load: Arc<Load>,
    in_flight: Arc<Semaphore>,
    lone: LoneEntry,
    /// Whether the last entry held one command.
    was_lone: AtomicBool,
    sent: Arc<Sent>,
    seeds: Seeds,
}

/// Fills entries with what waits.
struct Task {
    line: Arc<Line>,
    in_touch: watch::Receiver<bool>,
}

/// The callers of entries on their way.
#[derive(Default)]
struct Sent {
    entries: Mutex<BTreeMap<u64, Replies>>,
    next: AtomicU64,
}

impl Sent {
    fn insert(&self, replies: Replies) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, replies);
        number
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Replies>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many entries are on their way, and the items in them.
    fn under_way(&self) -> (usize, usize) {
        let entries = self.lock();
        let items = entries.values().map(|replies| replies.to.len());
        (entries.len(), items.sum())
    }

    /// Tells all callers that their attempt is lost; they go elsewhere with the same request id.
    fn give_up(&self, load: &Load) {
        for replies in std::mem::take(&mut *self.lock()).into_values() {
            load.release(replies.to.len(), replies.bytes);
            for reply in replies.to {
                reply.refuse(Refusal::lost(OUT_OF_TOUCH));
            }
        }
    }
}

impl Task {
    async fn run(mut self, mut proposals: mpsc::UnboundedReceiver<Proposal>) {
        // Bounded like the queue, by what is admitted.
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                let came = tokio::select! {
                    came = proposals.recv() => came,
                    () = out_of_touch(&mut self.in_touch) => {
                        self.wait_for_touch(&mut waiting, &mut proposals).await;
                        continue;
                    }
                };
                let Some(first) = came else {
                    return;
                };
                waiting.push_back(first);
            }
            let Some(permit) = self.permit(&mut waiting, &mut proposals).await else {
                continue;
            };
            if !self.gather(&mut waiting, &mut proposals).await {
                continue;
            }
            self.refuse_late(&mut waiting);
            let (entry, replies) = self.line.fill(&mut waiting);
            if let Some(entry) = entry {
                self.line.send(entry, replies, permit).await;
            }
        }
    }

    /// What arrived while the last entries were under way joins this one, and if one still is, what
    /// arrives until this one is worth sending; `false` if touch was lost meanwhile, and whoever waited
    /// has been told.
    async fn gather(
        &mut self,
        waiting: &mut VecDeque<Proposal>,
        proposals: &mut mpsc::UnboundedReceiver<Proposal>,
    ) -> bool {
        // There is room for it once the other entry is no longer under way.
        let in_flight = self.line.in_flight.clone();
        let mut is_only_one = std::pin::pin!(in_flight.acquire());
        loop {
            while let Ok(proposal) = proposals.try_recv() {
                waiting.push_back(proposal);
            }
            let (entries, items) = self.line.sent.under_way();
            let is_enough = waiting.len() * SECOND_ENTRY_PART >= items
                || waiting.len() >= self.line.most_items();
            let bytes = || waiting.iter().map(|waits| size(&waits.item)).sum::<usize>();
            if entries == 0 || is_enough || bytes() >= MAX_ENTRY_BYTES {
                return true;
            }
            tokio::select! {
                came = proposals.recv() => match came {
                    Some(proposal) => waiting.push_back(proposal),
                    None => return true,
                },
                _ = &mut is_only_one => return true,
                () = out_of_touch(&mut self.in_touch) => break,
            }
        }
        self.wait_for_touch(waiting, proposals).await;
        false
    }

    /// Refuses those that are not expected to be answered by their deadline, wherever they stand:
    /// their callers hear of it while there is time, and nothing is carried out in vain.
    fn refuse_late(&self, waiting: &mut VecDeque<Proposal>) {
        let (entries, items) = self.line.sent.under_way();
        let drain = self.line.load.drain();
        let takes = |before: usize| {
            let entries = entries + 1 + before / MAX_ITEMS_PER_ENTRY;
            drain.wait(items + before + 1, entries)
        };
        if takes(waiting.len()) < SOON {
            return;
        }
        let (now, mut kept) = (Instant::now(), 0);
        for _ in 0..waiting.len() {
            let Some(proposal) = waiting.pop_front() else {
                return;
            };
            // The first one goes in any case: what is expected may be wrong, and this shows.
            if kept == 0 || proposal.deadline > now + takes(kept) {
                kept += 1;
                waiting.push_back(proposal);
            } else {
                refuse_as_late(&self.line.load, proposal);
            }
        }
    }

    /// Room for one more entry under way; `None` if touch was lost meanwhile, and whoever waited
    /// has been told.
    async fn permit(
        &mut self,
        waiting: &mut VecDeque<Proposal>,
        proposals: &mut mpsc::UnboundedReceiver<Proposal>,
    ) -> Option<OwnedSemaphorePermit> {
        let in_flight = self.line.in_flight.clone();
        tokio::select! {
            permit = in_flight.acquire_owned() => {
                return Some(permit.expect("the semaphore is never closed"));
            }
            () = out_of_touch(&mut self.in_touch) => {}
        }
        self.wait_for_touch(waiting, proposals).await;
        None
    }

    /// Refuses everybody until touch is regained. What is on its way may still be committed.
    async fn wait_for_touch(
        &mut self,
        waiting: &mut VecDeque<Proposal>,
        proposals: &mut mpsc::UnboundedReceiver<Proposal>,
    ) {
        tracing::warn!("{OUT_OF_TOUCH}: callers are sent elsewhere");
        self.line.sent.give_up(&self.line.load);
        loop {
            for proposal in waiting.drain(..) {
                self.line.load.release(1, size(&proposal.item));
                proposal.reply.refuse(Refusal::not_here(OUT_OF_TOUCH, None));
            }
            tokio::select! {
                is_over = async { self.in_touch.wait_for(|in_touch| *in_touch).await.is_err() } => {
                    if !is_over {
                        return;
                    }
                    // Raft has stopped: refuse until the last handle is dropped.
                    let Some(proposal) = proposals.recv().await else {
                        return;
                    };
                    waiting.push_back(proposal);
                }
                came = proposals.recv() => {
                    let Some(proposal) = came else {
                        return;
                    };
                    waiting.push_back(proposal);
                }
            }
        }
    }
}

impl Line {
    async fn send(&self, entry: Bytes, replies: Replies, permit: OwnedSemaphorePermit) {
        self.was_lone
            .store(replies.to.len() == 1, Ordering::Relaxed);
        if self.is_lone(&replies) {
            self.lone.announce();
        }
        let span = tracing::debug_span!("entry", commands = replies.to.len(), index = Empty);
        if !span.is_disabled() {
            let causes = replies.to.iter().filter_map(ReplyTo::span);
            for cause in causes {
                span.follows_from(cause);
            }
        }
        let under_way = UnderWay {
            number: self.sent.insert(replies),
            sent: self.sent.clone(),
            load: self.load.clone(),
            _permit: permit,
        };
        let (load, figures, begun) = (self.load.clone(), self.figures.clone(), Instant::now());
        let responder = Responder::new(move |result: Outcome| {
            if let Ok(response) = &result {
                span.record("index", response.log_id.index);
            }
            if let Some(replies) = under_way.take() {
                let now = Instant::now();
                if result.is_ok() {
                    load.drain().note(replies.to.len(), begun, now);
                    figures.commit.record(now.saturating_duration_since(begun));
                }
                answer(replies.to, result, now);
            }
        });
        let proposed = self
            .raft
            .client_write_ff(Batch(entry), Some(responder))
            .await;
        if let Err(error) = proposed {
            tracing::debug!(%error, "raft takes no more entries");
        }
    }

    /// Whether the one command of this entry is all that the node has to do, and there is no other
    /// member to send it to.
    fn is_lone(&self, replies: &Replies) -> bool {
        let is_only_call = replies.to.len() == 1 && self.load.items() == 1;
        let is_only_member = |replica: &Replica| replica.members().members.nodes.len() == 1;
        let is_alone = || self.machine.machine().glance(is_only_member) == Some(true);
        // Simulated clusters have more members; relays have to be harmless there, too.
        is_only_call && (world::relays() || is_alone())
    }

    /// How many items the next entry may hold.
    fn most_items(&self) -> usize {
        self.load.drain().next_batch().min(MAX_ITEMS_PER_ENTRY)
    }

    /// Moves proposals into one entry until it is full. Overdue ones are refused: nobody waits.
    fn fill(&self, waiting: &mut VecDeque<Proposal>) -> (Option<Bytes>, Replies) {
        let now = Instant::now();
        let mut entry = EntryWriter::new(self.time.stamp(), self.seeds.draw());
        let mut replies = Replies {
            to: Vec::new(),
            bytes: 0,
        };
        let most = self.most_items();
        while replies.to.len() < most
            && let Some(next) = waiting.front()
            && (entry.items() == 0 || entry.len() + size(&next.item) <= MAX_ENTRY_BYTES)
            && let Some(proposal) = waiting.pop_front()
        {
            let bytes = size(&proposal.item);
            if proposal.deadline <= now {
                refuse_as_late(&self.load, proposal);
                continue;
            }
            entry.push(&proposal.item);
            replies.to.push(proposal.reply);
            replies.bytes += bytes;
        }
        let bytes = (entry.items() > 0).then(|| entry.finish());
        (bytes, replies)
    }
}

/// One entry on its way. Dropped without an outcome, because raft has stopped, it drops its
/// callers' replies, which tells them that their attempt is lost.
struct UnderWay {
    number: u64,
    sent: Arc<Sent>,
    load: Arc<Load>,
    _permit: OwnedSemaphorePermit,
}

impl UnderWay {
    /// The callers, unless they were told already.
    fn take(&self) -> Option<Replies> {
        let replies = self.sent.lock().remove(&self.number)?;
        self.load.release(replies.to.len(), replies.bytes);
        Some(replies)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// Ready once this node leads without being in touch with a quorum.
async fn out_of_touch(in_touch: &mut watch::Receiver<bool>) {
    if in_touch.wait_for(|in_touch| !in_touch).await.is_err() {
        // The watch ends with raft: then entries are answered, or dropped, by raft itself.
        std::future::pending::<()>().await;
    }
}

/// The replies of one entry and what they weigh.
struct Replies {
    to: Vec<ReplyTo>,
    bytes: usize,
}

/// Refuses one that is not expected to be answered in time, with nothing done.
fn refuse_as_late(load: &Load, proposal: Proposal) {
    load.release(1, size(&proposal.item));
    proposal.reply.refuse(Refusal::busy(TOO_LATE));
}

/// What became of an entry.
type Outcome = openraft::raft::ClientWriteResult<TypeConfig>;

fn answer(replies: Vec<ReplyTo>, result: Outcome, now: Instant) {
    match result {
        Ok(response) => {
            let index = response.log_id.index;
            debug_assert_eq!(replies.len(), response.data.len());
            for (reply, result) in replies.into_iter().zip(response.data) {
                reply.send_at(Reply { index, result }, Some(now));
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

#[cfg(test)]
mod tests;
