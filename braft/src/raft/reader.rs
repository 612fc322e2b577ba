//! Linearizable reads: one confirmation of leadership for all readers that wait.
//!
//! Source: Ongaro's dissertation, section 6.4 (ReadIndex).

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use openraft::ReadPolicy;
use openraft::errors::{LinearizableReadError, RaftError};
use tokio::sync::{Semaphore, mpsc, watch};

use super::Raft;
use super::state_machine::StateMachine;
use crate::error::Error;
use crate::request::{Refusal, Reply, ReplyTo};

/// Confirmations under way at once: while one travels, the next one's readers gather.
const MAX_CONFIRMATIONS: usize = 2;
/// Readers that share one confirmation.
const MAX_READERS: usize = 4096;
/// Reads admitted and not yet confirmed; beyond it the node is busy.
const MAX_WAITING_READS: usize = 65_536;

/// Why a leader that hears nothing answers nothing.
pub(super) const OUT_OF_TOUCH: &str = "this node leads but has lost touch with the others";

/// A query for the leader.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) service: Arc<str>,
    pub(crate) payload: Bytes,
    pub(crate) min_index: u64,
    pub(crate) deadline: Instant,
    pub(crate) reply: ReplyTo,
}

/// Takes queries on the leader and answers them linearizably.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    queue: mpsc::Sender<Read>,
}

impl Reader {
    pub(crate) fn start(
        raft: Raft,
        machine: StateMachine,
        in_touch: watch::Receiver<bool>,
    ) -> Self {
        let (queue, reads) = mpsc::channel(MAX_WAITING_READS);
        tokio::spawn(run(raft, machine, in_touch, reads));
        Reader { queue }
    }

    pub(crate) fn read(&self, read: Read) {
        match self.queue.try_send(read) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(read)) => {
                let message = format!("{MAX_WAITING_READS} reads wait on this node; back off");
                read.reply.refuse(Error::busy(message));
            }
            Err(mpsc::error::TrySendError::Closed(read)) => {
                read.reply
                    .refuse(Refusal::not_here("this node is stopping", None));
            }
        }
    }
}

async fn run(
    raft: Raft,
    machine: StateMachine,
    in_touch: watch::Receiver<bool>,
    mut reads: mpsc::Receiver<Read>,
) {
    let confirmations = Arc::new(Semaphore::new(MAX_CONFIRMATIONS));
    loop {
        let mut batch = Vec::new();
        if reads.recv_many(&mut batch, MAX_READERS).await == 0 {
            return;
        }
        let Ok(permit) = confirmations.clone().acquire_owned().await else {
            return;
        };
        while batch.len() < MAX_READERS
            && let Ok(read) = reads.try_recv()
        {
            batch.push(read);
        }
        let (raft, machine, in_touch) = (raft.clone(), machine.clone(), in_touch.clone());
        tokio::spawn(async move {
            // The confirmation began after each of these reads arrived: that makes it theirs.
            let confirmed = confirm(&raft, in_touch).await;
            drop(permit);
            match confirmed {
                Ok(index) => answer(&machine, index, batch).await,
                Err(refuse) => batch
                    .into_iter()
                    .for_each(|read| read.reply.refuse(refuse())),
            }
        });
    }
}

type Refuse = Box<dyn Fn() -> Refusal + Send>;

/// The log index that a read beginning now has to see.
async fn confirm(raft: &Raft, mut in_touch: watch::Receiver<bool>) -> Result<u64, Refuse> {
    let confirmed = tokio::select! {
        confirmed = raft.get_read_log_id(ReadPolicy::ReadIndex) => confirmed,
        _ = in_touch.wait_for(|in_touch| !in_touch) => {
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

/// Waits until the state has seen `index`, then answers all reads from it.
pub(crate) async fn answer(machine: &StateMachine, index: u64, reads: Vec<Read>) {
    let index = reads
        .iter()
        .map(|read| read.min_index)
        .fold(index, u64::max);
    let last_deadline = reads.iter().map(|read| read.deadline).max();
    let mut applied = machine.watch_applied();
    let ready = applied.wait_for(|applied| *applied >= index);
    let deadline = last_deadline.unwrap_or_else(Instant::now);
    let mut halted = machine.watch_halted();
    let is_ready = tokio::select! {
        ready = tokio::time::timeout_at(deadline.into(), ready) => matches!(ready, Ok(Ok(_))),
        // Then it never gets there; the answers say why.
        Ok(_) = halted.wait_for(Option::is_some) => true,
    };
    if machine.out_of_service().is_some() {
        for read in reads {
            let refusal = machine.out_of_service();
            read.reply
                .refuse(refusal.unwrap_or_else(|| Refusal::not_here("about to serve again", None)));
        }
        return;
    }
    if !is_ready {
        for read in reads {
            let text = "the state did not reach the read's log index before the deadline";
            read.reply.refuse(Refusal::not_here(text, None));
        }
        return;
    }
    let (replica, count) = (machine.clone(), reads.len());
    // Queries may take long, and must not hold up the tasks of this thread.
    machine.run_queries(count, move || {
        let queries = reads
            .iter()
            .map(|read| (read.service.clone(), read.payload.clone()));
        let answers = replica.machine().query(queries.collect());
        for (read, answer) in reads.into_iter().zip(answers) {
            match answer {
                Ok((answer, index)) => read.reply.send(Reply {
                    index,
                    result: Ok(answer),
                }),
                Err(refusal) => read.reply.refuse(refusal),
            }
        }
    });
}
