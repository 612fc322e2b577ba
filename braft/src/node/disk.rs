//! Keeps an eye on the disk: free space, and a log that grows.

use std::time::Duration;

use tokio::sync::watch;

use crate::raft::RaftNode;

/// How often the disk is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Tells when free space crosses the reserve, and asks for a snapshot when the log has grown by
/// `snapshot_bytes`, or by the size of the last snapshot if that is more: writing the state again
/// then costs no more than the log did.
pub(super) async fn watch(raft: RaftNode, low: &watch::Sender<bool>, snapshot_bytes: u64) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = (None, 0);
    loop {
        ticks.tick().await;
        let is_low = raft.wal().disk_low().unwrap_or_else(|error| {
            tracing::warn!(%error, "the free space of the disk is not known");
            false
        });
        if low.send_replace(is_low) != is_low {
            tracing::warn!(is_low, "free disk space has crossed the reserve");
        }
        let snapshot = raft.view().snapshot;
        let written = raft.wal().stats().bytes;
        if snapshot != last.0 {
            last = (snapshot, written);
        }
        if written - last.1 > snapshot_bytes.max(raft.snapshot_bytes()) {
            last.1 = written;
            if let Err(error) = raft.snapshot().await {
                tracing::debug!(%error, "raft has stopped");
                return;
            }
        }
    }
}
