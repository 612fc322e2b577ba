//! Keeps an eye on the disk: free space, and a log that grows.

use std::time::Duration;

use tokio::sync::watch;

use crate::raft::RaftNode;

/// How often the disk is looked at.
const INTERVAL: Duration = Duration::from_millis(200);

/// Tells when free space crosses the reserve, and asks for a snapshot when the log has grown by
/// `snapshot_bytes`, or by the size of the last snapshot if that is more: writing the state again
/// then costs no more than the log did. Below the reserve it is asked for as soon as it frees more
/// than it costs.
pub(super) async fn watch(raft: RaftNode, low: &watch::Sender<bool>, snapshot_bytes: u64) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut snapshot = None;
    // What the log had written when the newest snapshot was begun, and whether one is awaited.
    let (mut begun_at, mut awaited) = (0, false);
    loop {
        ticks.tick().await;
        let is_low = raft.wal().disk_low().unwrap_or_else(|error| {
            tracing::warn!(%error, "the free space of the disk is not known");
            false
        });
        if low.send_replace(is_low) != is_low {
            tracing::warn!(is_low, "free disk space has crossed the reserve");
        }
        let newest = raft.view().snapshot;
        let written = raft.wal().stats().bytes;
        if newest != snapshot {
            snapshot = newest;
            // One that was asked for here counts from then: what was written meanwhile is not in it.
            if !std::mem::take(&mut awaited) {
                begun_at = written;
            }
        }
        let grown = if is_low { 0 } else { snapshot_bytes };
        if written - begun_at > grown.max(raft.snapshot_bytes()) {
            (begun_at, awaited) = (written, true);
            if let Err(error) = raft.snapshot().await {
                tracing::debug!(%error, "raft has stopped");
                return;
            }
        }
    }
}
