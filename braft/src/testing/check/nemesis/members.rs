//! Snapshots, handovers, nodes that come and go for good.

use std::time::Duration;

use futures_util::FutureExt;

use super::super::invent::below;
use super::{Nemesis, name};
use crate::service::Service;
use crate::testing::TestResult;

/// How long a node tries to leave.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

impl<S: Service> Nemesis<S> {
    pub(super) async fn force_snapshot(&mut self) -> TestResult {
        let well = self.well();
        let Some(place) = self.one_of(&well) else {
            return Ok(());
        };
        let node = self.cluster.node(place)?;
        if let Some(raft) = node.core().raft()
            && raft.snapshot().await.is_ok()
        {
            self.note(format!("{} writes a snapshot", name(place)));
        }
        Ok(())
    }

    /// The leader hands over; every other time it hears nobody from then on, so that it does not learn
    /// who leads instead.
    pub(super) async fn hand_over(&mut self) -> TestResult {
        let (Some(leader), well) = (self.leader(), self.well()) else {
            return Ok(());
        };
        let Some(heir) = self.one_of(&well) else {
            return Ok(());
        };
        let id = self.cluster.node(heir)?.core().peers().me().node_id;
        let leading = self.cluster.node(leader)?;
        if leader != heir && below(&mut self.aimed, 2) == 0 {
            self.deafen(leader);
        }
        if let Some(raft) = leading.core().raft()
            && raft.transfer_leader(id).await.is_ok()
        {
            let (leader, heir) = (name(leader), name(heir));
            self.note(format!("{leader} hands leadership to {heir}"));
        }
        Ok(())
    }

    pub(super) async fn join(&mut self) -> TestResult {
        self.joined += 1;
        self.note("a node with an empty disk asks to join".to_owned());
        let node = self.cluster.add_node().boxed().await?;
        self.note(format!("{} is a member", name(node)));
        Ok(())
    }

    /// A node leaves for good; another one comes in its place.
    pub(super) async fn leave(&mut self) -> TestResult {
        let Some(place) = self.dispensable() else {
            return self.hand_over().await;
        };
        self.note(format!("{} leaves", name(place)));
        let node = self.cluster.node(place)?;
        if let Err(error) = node.leave(LEAVE_WITHIN).boxed().await {
            self.note(format!("{} stays: {error}", name(place)));
            return Ok(());
        }
        drop(node);
        let down = self.cluster.kill(place).boxed().await?;
        (self.disks)(place).wipe();
        self.note(format!("{} has left, a new one comes", name(place)));
        self.start_again(down).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Notify;

    use super::super::stage::{Pages, Stage, play};
    use super::*;
    use crate::storage::fs::faults::Step;
    use crate::testing::cluster::{Cluster, TestNode};

    /// Twenty entries, and a snapshot that holds them; its last log index.
    async fn write_and_freeze(cluster: &Cluster<Pages>, leader: TestNode) -> TestResult<u64> {
        let client = cluster.client();
        for page in 0..20 {
            client.write(format!("page {page}")).await?;
        }
        let leading = cluster.node(leader)?;
        let raft = leading.core().raft().ok_or("it has no raft")?;
        let before = newest(cluster, leader)?;
        raft.snapshot().await?;
        let is_there = || newest(cluster, leader).is_ok_and(|index| index > before);
        cluster.eventually("a snapshot", is_there).await?;
        newest(cluster, leader)
    }

    /// The last log index in the newest snapshot of a node.
    fn newest(cluster: &Cluster<Pages>, node: TestNode) -> TestResult<u64> {
        let node = cluster.node(node)?;
        let snapshot = node.core().raft().and_then(|raft| raft.view().snapshot);
        Ok(snapshot.map_or(0, |(_, index)| index))
    }

    fn purged(cluster: &Cluster<Pages>, node: TestNode) -> u64 {
        let node = cluster.node(node).ok();
        let purged = node.and_then(|node| node.core().raft()?.view().purged);
        purged.map_or(0, |(_, index)| index)
    }

    /// Were the log after it purged meanwhile, the node would need another one, and under load for ever.
    #[test]
    fn one_snapshot_is_enough_for_a_node_while_others_are_written() {
        play(11, async |Stage { cluster, nemesis }| {
            let leader = cluster.leader().await?;
            let behind = TestNode((leader.0 + 1) % 3);
            cluster.isolate(behind);
            let first = write_and_freeze(&cluster, leader).await?;
            let is_purged = || purged(&cluster, leader) > 10;
            cluster
                .eventually("the log to be purged", is_purged)
                .await?;

            let (comes, there) = (Arc::new(Notify::new()), cluster.clone());
            let told = Arc::clone(&comes);
            (nemesis.disks)(behind).at_step((Step::Sync, "snapshots"), move || {
                there.hold(behind);
                told.notify_one();
            });
            cluster.heal();
            comes.notified().await;
            let second = write_and_freeze(&cluster, leader).await?;
            // Many times what it takes to purge.
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(purged(&cluster, leader) <= first, "it is still needed");
            cluster.go_on(behind);
            cluster.converged().await?;
            assert_eq!(newest(&cluster, behind)?, first);
            // Then nobody needs it any more.
            let is_purged = || purged(&cluster, leader) > first;
            cluster
                .eventually("the log to be purged", is_purged)
                .await?;
            assert!(second > first);
            Ok(())
        });
    }
}
