//! Keeps an eye on the disk: free space, and a log that grows.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;

use super::purging::Purging;
use super::snapshots::Snapshots;
use crate::member::display_id;
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
        if is_tick && let Some(holder) = purging.holder(&raft, is_low) {
            tracing::warn!(
                peer = display_id(holder.id),
                upto = holder.upto,
                "a follower takes in the log too slowly for it to be kept any longer; it is given a snapshot"
            );
            if let Err(error) = raft.purge_from(holder.id, holder.upto).await {
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

#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::sync::Arc;

    use crate::config::{Config, Seams};
    use crate::raft_service;
    use crate::storage::fs::faults::FaultFs;
    use crate::testing::{Cluster, TestNode};

    /// A small part of what is written if nothing is purged.
    const SMALL: u64 = 64 << 10;
    const VALUE_BYTES: u64 = 8 << 10;
    /// Many times what the log may come to.
    const MOST_BYTES: u64 = 128 << 20;

    #[raft_service(crate = crate)]
    #[derive(Default, serde::Serialize, serde::Deserialize)]
    struct Last {
        value: String,
    }

    #[raft_service(crate = crate)]
    impl Last {
        fn put(&mut self, value: String) {
            self.value = value;
        }
    }

    /// Lets the syncs of a disk go on, whatever becomes of the test.
    struct Held(FaultFs);

    impl Drop for Held {
        fn drop(&mut self) {
            self.0.hold_syncs(false);
        }
    }

    /// It answers heartbeats, so it is heard, and takes in nothing.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_follower_whose_disk_is_stuck_does_not_hold_the_log_for_ever() {
        let disks: Vec<_> = (0..3).map(|_| FaultFs::new()).collect();
        let own = disks.clone();
        let configure = Box::new(move |node: TestNode, seams: Seams, config: Config| {
            let config = config.snapshot_bytes(SMALL).keep_log_entries(10);
            config.seams(Seams {
                fs: Arc::new(own[node.0].clone()),
                segment_bytes: Some(SMALL),
                ..seams
            })
        });
        let cluster = Cluster::<Last>::boot_seamed(3, None, None, configure);
        let cluster = cluster.await.unwrap_or_else(|error| panic!("{error}"));
        let leader = cluster
            .leader()
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let client = cluster
            .client_at(leader)
            .unwrap_or_else(|error| panic!("{error}"));
        client.put(String::new()).await.expect("it serves");
        cluster
            .converged()
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let log = |node| {
            let node = cluster.node(node).unwrap_or_else(|error| panic!("{error}"));
            node.status().log
        };

        let behind = TestNode((leader.0 + 1) % 3);
        let held = Held(disks[behind.0].clone());
        held.0.hold_syncs(true);
        let reached = log(behind).last_index;
        let mut written = 0;
        while log(leader).purged_index <= reached {
            assert!(written < MOST_BYTES, "nothing is purged: {:?}", log(leader));
            let value = "x".repeat(VALUE_BYTES as usize);
            client.put(value).await.expect("two of three are there");
            written += VALUE_BYTES;
        }
        drop(held);
        client.put("last".to_owned()).await.expect("it serves");
        cluster
            .converged()
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(log(behind).snapshot_index > reached, "{:?}", log(behind));
    }
}
