//! Keeps an eye on the disk: free space, and a log that grows.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;

use super::purging::Purging;
use super::snapshots::Snapshots;
use crate::raft::RaftNode;

/// How often the disk is looked at.
const INTERVAL: Duration = Duration::from_millis(200);

/// Tells when free space crosses the reserve, asks for a snapshot when one is due, and purges the log.
pub(super) async fn watch(
    raft: RaftNode,
    low: &watch::Sender<bool>,
    mut snapshots: Snapshots,
    mut purging: Purging,
) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut written = raft.watch_snapshots();
    let mut is_low = false;
    loop {
        let is_tick = tokio::select! {
            _ = ticks.tick() => true,
            // What it frees may be what the next entries need.
            next = written.next() => match next {
                Some(()) => {
                    purging.ask_again();
                    false
                }
                None => return,
            },
        };
        if is_tick {
            is_low = raft.wal().disk_low().unwrap_or_else(|error| {
                tracing::warn!(%error, "the free space of the disk is not known");
                false
            });
            if low.send_replace(is_low) != is_low {
                tracing::warn!(is_low, "free disk space has crossed the reserve");
            }
            if snapshots.is_due(&raft, is_low)
                && let Err(error) = raft.snapshot().await
            {
                tracing::debug!(%error, "raft has stopped");
                return;
            }
        }
        if let Some(upto) = purging.due(&raft, is_low)
            && let Err(error) = raft.purge(upto).await
        {
            tracing::debug!(%error, "raft has stopped");
            return;
        }
    }
}
