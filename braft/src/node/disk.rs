//! Keeps an eye on the disk: free space, and a log that grows.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;

use super::holders::{Holders, LettingGo};
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
    let mut letting_go = LettingGo::default();
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
        if is_tick
            && let Some(Holders {
                ids, from, upto, ..
            }) = letting_go.due(&purging, &raft, is_low)
        {
            match raft.purge_from(&ids, from, upto).await {
                Ok(true) => {
                    letting_go.done();
                    let peers: Vec<_> = ids.into_iter().map(display_id).collect();
                    tracing::warn!(
                        ?peers,
                        upto,
                        "they take in the log too slowly for it to be kept; they are given a snapshot"
                    );
                }
                // Raft is about to learn of the snapshot.
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(%error, "raft has stopped");
                    return;
                }
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
    use crate::raft::RaftNode;
    use crate::raft_service;
    use crate::storage::fs::faults::FaultFs;
    use crate::testing::{Cluster, TestNode, TestResult};

    /// A small part of what is written.
    const SMALL: u64 = 64 << 10;
    const VALUE_BYTES: usize = 8 << 10;
    /// Several times what the log may come to.
    const WRITTEN_BYTES: usize = 4 << 20;

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

    /// Whether another node comes to lead while the disk is stuck: it does not know how far the log of that
    /// one reaches.
    async fn outlives_a_stuck_disk(is_handed_over: bool) -> TestResult {
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
        let cluster = Cluster::<Last>::boot_seamed(3, None, None, configure).await?;
        let mut leader = cluster.leader().await?;
        cluster.client_at(leader)?.put(String::new()).await?;
        cluster.converged().await?;
        let log = |node| TestResult::Ok(cluster.node(node)?.status().log);

        // It answers heartbeats, so it is heard, and takes in nothing.
        let behind = TestNode((leader.0 + 1) % 3);
        let held = Held(disks[behind.0].clone());
        held.0.hold_syncs(true);
        let reached = log(behind)?.last_index;
        if is_handed_over {
            cluster.client_at(leader)?.put("lacking".to_owned()).await?;
            leader = TestNode((leader.0 + 2) % 3);
            cluster.hand_over(leader).await?;
            let raft = cluster.node(leader)?.core().raft().cloned();
            let leads = || raft.as_ref().is_some_and(RaftNode::is_leader);
            cluster.eventually("the other one to lead", leads).await?;
        }
        let client = cluster.client_at(leader)?;
        for _ in 0..WRITTEN_BYTES / VALUE_BYTES {
            client.put("x".repeat(VALUE_BYTES)).await?;
        }
        let is_purged = || log(leader).is_ok_and(|log| log.purged_index > reached);
        cluster
            .eventually("the log to be purged", is_purged)
            .await?;
        assert_eq!(cluster.leader().await?, leader);
        // Of one that does not say how far its log reaches raft asks that first.
        if !is_handed_over {
            let raft = cluster.node(leader)?.core().raft().cloned();
            let id = cluster.node(behind)?.core().peers().me().node_id;
            let is_given = || {
                raft.as_ref()
                    .is_some_and(|raft| raft.given().contains_key(&id))
            };
            cluster
                .eventually("it to be given a snapshot", is_given)
                .await?;
        }
        drop(held);
        client.put("last".to_owned()).await?;
        cluster.converged().await?;
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_follower_whose_disk_is_stuck_does_not_hold_the_log_for_ever() {
        let result = outlives_a_stuck_disk(false).await;
        result.unwrap_or_else(|error| panic!("{error}"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nor_does_one_whose_disk_was_stuck_before_the_leader_came_to_lead() {
        let result = outlives_a_stuck_disk(true).await;
        result.unwrap_or_else(|error| panic!("{error}"));
    }
}
