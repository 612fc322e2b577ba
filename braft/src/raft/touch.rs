//! Whether a leader is in touch with a quorum.
//!
//! openraft's leader does not step down when its followers fall silent. What it took in by then
//! would wait for ever, and so would the callers, who could have gone to the next leader.

use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Raft;
use super::handle::{Role, view};
use super::network::Timers;
use crate::world;

/// Starts the watch: true while this node does not lead, or a quorum has answered it lately.
pub(super) fn start(raft: Raft, timers: Timers) -> watch::Receiver<bool> {
    let (touch, in_touch) = watch::channel(true);
    world::spawn(run(raft, timers, touch));
    in_touch
}

/// Silence after which the others have surely elected another leader, if they can.
pub(super) fn patience(timers: Timers) -> Duration {
    Duration::from_millis(2 * u64::from(timers.election_max_ms))
}

async fn run(raft: Raft, timers: Timers, touch: watch::Sender<bool>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(timers.heartbeat_ms.into()));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let metrics = raft.metrics();
    drop(raft);
    let mut led = (0, Instant::now());
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            // Nobody proposes or reads here any more.
            () = touch.closed() => return,
        }
        let view = view(&metrics.borrow_watched());
        if view.stopped.is_some() || view.role == Role::Stopped {
            return;
        }
        let leads = view.role == Role::Leader;
        if led.0 != view.term || !leads {
            led = (view.term, Instant::now());
        }
        let alone = view.members.members.voters().len() == 1;
        let heard = view.quorum_contact.map_or(led.1, |at| at.max(led.1));
        let in_touch = !leads || alone || heard.elapsed() < patience(timers);
        touch.send_if_modified(|now| std::mem::replace(now, in_touch) != in_touch);
    }
}
