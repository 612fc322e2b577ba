//! Reads of this node's own state that must not be older than a moment.
//!
//! The leader says up to where the log is committed; once that is applied here, the state holds
//! whatever was acknowledged before the question was *sent*. That moment is read from this node's
//! own clock, so no two clocks are compared. One answer serves all the reads that waited for it, and
//! later ones for as long as it is fresh enough for them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::core::leader_elsewhere;
use crate::client::Pool;
use crate::raft::network::Peers;
use crate::raft::{Admitted, MAX_CONFIRMATIONS, MAX_READERS, MAX_WAITING_READS, RaftNode};
use crate::request::{Action, Incoming, Refusal, Reply, ReplyTo};
use crate::world;

/// The longest a node waits for the leader's word. Cut off, it gives up early, so that its callers
/// can ask another node.
const ASK_WITHIN: Duration = Duration::from_millis(500);

/// A read of this node's state.
pub(super) struct Fresh {
    pub(super) read: Admitted,
    /// The state must hold what was acknowledged before this moment.
    pub(super) since: Instant,
    /// The caller's bound, for what is said if it cannot be kept; none if it is the call itself.
    pub(super) at_most: Option<Duration>,
}

/// What this node knows of its own state: once the index is applied, it holds whatever was
/// acknowledged before that moment.
#[derive(Clone, Copy)]
struct Confirmed {
    asked: Instant,
    index: u64,
}

/// Answers such reads. Cheap to clone.
#[derive(Clone)]
pub(super) struct FreshReads {
    queue: mpsc::Sender<Fresh>,
    leader: Leader,
}

/// The way to the leader's word, and what it last said.
#[derive(Clone)]
struct Leader {
    raft: RaftNode,
    peers: Arc<Peers>,
    links: Arc<Pool>,
    confirmed: Arc<Mutex<Option<Confirmed>>>,
}

impl FreshReads {
    pub(super) fn start(raft: RaftNode, peers: Arc<Peers>, links: Arc<Pool>) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_WAITING_READS);
        let leader = Leader {
            raft,
            peers,
            links,
            confirmed: Arc::default(),
        };
        world::spawn(run(leader.clone(), waiting));
        FreshReads { queue, leader }
    }

    /// Up to where the log is committed now, or why nobody says so.
    pub(super) async fn index(&self, now: Instant) -> Result<u64, String> {
        self.leader.ask(now).await
    }

    /// Answers a read, at once if what is known here is fresh enough for it.
    pub(super) fn read(&self, fresh: Fresh) {
        if let Some(confirmed) = self.leader.confirmed()
            && confirmed.asked >= fresh.since
        {
            let raft = &self.leader.raft;
            return raft.read_at(confirmed.index, vec![fresh.read]);
        }
        match self.queue.try_send(fresh) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(fresh)) => {
                let message = format!("{MAX_WAITING_READS} reads wait on this node; back off");
                fresh.read.read.reply.refuse(Refusal::busy(message));
            }
            Err(mpsc::error::TrySendError::Closed(fresh)) => {
                let refusal = Refusal::not_here("this node is stopping", None);
                fresh.read.read.reply.refuse(refusal);
            }
        }
    }
}

async fn run(leader: Leader, mut waiting: mpsc::Receiver<Fresh>) {
    let questions = Arc::new(Semaphore::new(MAX_CONFIRMATIONS));
    loop {
        let mut batch = Vec::new();
        if waiting.recv_many(&mut batch, MAX_READERS).await == 0 {
            return;
        }
        let Ok(permit) = questions.clone().acquire_owned().await else {
            return;
        };
        while batch.len() < MAX_READERS
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
        let leader = leader.clone();
        world::spawn(async move {
            // After each of these reads arrived: fresh enough for all of them.
            let asked = Instant::now();
            let answer = leader.ask(asked).await;
            drop(permit);
            match answer {
                Ok(index) => {
                    leader.note(Confirmed { asked, index });
                    let reads = batch.into_iter().map(|fresh| fresh.read).collect();
                    leader.raft.read_at(index, reads);
                }
                Err(reason) => {
                    let age = leader.confirmed().map(|last| last.asked.elapsed());
                    for fresh in batch {
                        let text = too_old(fresh.at_most, age, &reason);
                        let refusal = Refusal::not_here(text, None);
                        fresh.read.read.reply.refuse(refusal);
                    }
                }
            }
        });
    }
}

fn too_old(at_most: Option<Duration>, age: Option<Duration>, reason: &str) -> String {
    let Some(at_most) = at_most else {
        return format!("no leader says up to where the log is committed: {reason}");
    };
    let age = match age {
        Some(age) => format!("may be {age:.1?} old"),
        None => "may be of any age: no leader has confirmed it since this node started".to_owned(),
    };
    format!("the state of this node {age}, {at_most:?} is the most allowed; {reason}")
}

impl Leader {
    fn confirmed(&self) -> Option<Confirmed> {
        *self
            .confirmed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the latest word; two questions may be answered in any order.
    fn note(&self, news: Confirmed) {
        let mut confirmed = self
            .confirmed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if confirmed.is_none_or(|last| last.asked < news.asked) {
            *confirmed = Some(news);
        }
    }

    /// Up to where a read that begins now has to see the log, or why nobody says so.
    async fn ask(&self, now: Instant) -> Result<u64, String> {
        let deadline = now + ASK_WITHIN;
        let (reply, answer) = oneshot::channel();
        let reply = ReplyTo::Task(reply);
        if self.raft.is_leader() {
            self.raft.read_index(reply);
        } else {
            let address = leader_elsewhere(&self.raft, &self.peers)
                .ok_or("the cluster has no leader at this moment")?;
            let question = Incoming {
                service: "".into(),
                action: Action::ReadIndex,
                payload: Bytes::new(),
                key: None,
                deadline,
                forwarded: true,
                trace: None,
                reply,
            };
            self.links.forward(&address, vec![question]);
        }
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(Reply { index: 0, result })) => Err(match result {
                Ok(_) => "the leader named no index".to_owned(),
                Err(refusal) => refusal.message,
            }),
            Ok(Ok(Reply { index, result })) => {
                result.map(|_| index).map_err(|refusal| refusal.message)
            }
            Ok(Err(_)) => Err("the question was dropped".to_owned()),
            Err(_) => Err(format!("the leader did not answer within {ASK_WITHIN:?}")),
        }
    }
}
