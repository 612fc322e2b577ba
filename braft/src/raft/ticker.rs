//! Proposes an entry when a wake is due and nobody else proposes: an idle cluster fires its timers.

use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::Raft;
use super::proposer::{Proposal, Proposer};
use super::state_machine::StateMachine;
use super::timekeeper::Timekeeper;
use crate::entry::Item;
use crate::request::ReplyTo;
use crate::world;

/// How long a tick may take into the log; then it is tried again.
const TICK_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two ticks, and between two looks while this node does not lead: a timer that wakes itself
/// at once must not fill the log.
const PAUSE: Duration = Duration::from_millis(5);
/// Between two looks whether this node leads.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(super) struct Ticker {
    pub(super) raft: Raft,
    pub(super) machine: StateMachine,
    pub(super) time: Timekeeper,
    pub(super) proposer: Proposer,
}

impl Ticker {
    /// Starts the task; it ends with `in_touch`, which ends with raft.
    pub(super) fn start(self, mut in_touch: watch::Receiver<bool>) {
        world::spawn(async move {
            let stopped = async { while in_touch.changed().await.is_ok() {} };
            tokio::select! {
                () = self.run() => {}
                () = stopped => {}
            }
        });
    }

    async fn run(&self) {
        let mut wakes = self.machine.watch_wakes();
        loop {
            let next = wakes.wait_for(Option::is_some).await.map(|next| *next);
            let Ok(Some(due)) = next else {
                return;
            };
            if !self.raft.is_leader() {
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            }
            let wait = self.time.until(due);
            if !wait.is_zero() {
                // Log time may be bent: what is due is looked at again then.
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    changed = wakes.changed() => if changed.is_err() {
                        return;
                    },
                }
                continue;
            }
            self.tick().await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Puts a tick into the log. Where that fails, this node does not lead, or not for long.
    async fn tick(&self) {
        let (reply, answer) = oneshot::channel();
        self.proposer.propose(Proposal {
            item: Item::Tick,
            deadline: Instant::now() + TICK_TIMEOUT,
            reply: ReplyTo::Task(reply),
        });
        if let Ok(reply) = answer.await
            && reply.result.is_err()
        {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
