//! Disks that fail, fill up, hang, or are lost.

use std::io;
use std::time::Duration;

use futures_util::FutureExt;

use super::super::invent::below;
use super::{Lasting, Nemesis, name};
use crate::node::{Node, Stopped};
use crate::service::Service;
use crate::testing::TestResult;
use crate::testing::cluster::TestNode;
use crate::world;

/// Writes or syncs that still succeed before one fails.
const MAX_STEPS_BEFORE: u32 = 20;
/// The longest time for which a disk hangs.
const MAX_HANG_MS: u32 = 400;
/// How long a node may take to stop once its disk has failed.
const STOP_WITHIN: Duration = Duration::from_secs(2);

impl<S: Service> Nemesis<S> {
    /// One write or one sync of a node fails.
    pub(super) fn fail_disk(&mut self) -> TestResult {
        let well = self.well();
        if let Some(node) = self.one_of(&well) {
            let after = below(&mut self.rng, MAX_STEPS_BEFORE);
            let (disk, kind) = ((self.disks)(node), io::ErrorKind::Other);
            let what = if below(&mut self.aimed, 2) == 0 {
                disk.fail_write(after.into(), kind);
                "write"
            } else {
                disk.fail_sync(after.into(), kind);
                "sync"
            };
            self.note(format!(
                "a {what} of {} fails after {after} more",
                name(node)
            ));
            self.lasting.push(Lasting::Sick(node));
        }
        Ok(())
    }

    /// Starts a node again whose disk was failing.
    pub(super) async fn recover(&mut self, node: TestNode) -> TestResult {
        let running = self.cluster.node(node)?;
        let stopped = tokio::time::timeout(STOP_WITHIN, running.stopped()).await;
        let why = match stopped {
            Ok(Stopped::Fatal(_)) => "stopped as its disk failed",
            Ok(Stopped::Shutdown) | Err(_) => "did not need what failed, and is stopped",
        };
        self.note(format!("{} {why}", name(node)));
        let disk = (self.disks)(node);
        disk.crash(self.rng.next_u64());
        disk.heal();
        let down = self.cluster.kill(node).boxed().await?;
        self.start_again(down).await
    }

    pub(super) fn fill_disk(&mut self) -> TestResult {
        let well = self.well();
        if let Some(node) = self.one_of(&well) {
            let disk = (self.disks)(node);
            disk.set_capacity(Some(disk.used()));
            self.note(format!("the disk of {} is full", name(node)));
            self.lasting.push(Lasting::Full(node));
        }
        Ok(())
    }

    /// Gives a disk space again, and starts a node that had to stop for want of it.
    pub(super) async fn make_space(&mut self, node: TestNode) -> TestResult {
        (self.disks)(node).set_capacity(None);
        self.note(format!("the disk of {} has space again", name(node)));
        // It may have lost its power meanwhile, or have another fault, which ends with a start.
        let is_well = self.well().contains(&node);
        if !is_well || goes_on(&self.cluster.node(node)?).await {
            return Ok(());
        }
        self.note(format!("{} had stopped, its disk being full", name(node)));
        let down = self.cluster.kill(node).boxed().await?;
        self.start_again(down).await
    }

    pub(super) async fn hang_disk(&mut self) -> TestResult {
        if world::is_simulated() {
            // A simulation has one thread, and would wait for ever.
            return self.cut_one_way();
        }
        let well = self.well();
        if let Some(node) = self.one_of(&well) {
            let millis = below(&mut self.rng, MAX_HANG_MS);
            self.note(format!("the disk of {} hangs for {millis} ms", name(node)));
            let disk = (self.disks)(node);
            disk.hold_syncs(true);
            tokio::time::sleep(Duration::from_millis(millis.into())).await;
            disk.hold_syncs(false);
        }
        Ok(())
    }

    /// A node whose disk may be lost: only while all others have theirs, and all vote. Then whatever
    /// was acknowledged is on a disk that a majority of the others can elect.
    pub(super) fn dispensable(&mut self) -> Option<TestNode> {
        if !world::is_simulated() || !self.lasting.is_empty() {
            return None;
        }
        let leader = self.cluster.node(self.leader()?).ok()?;
        let view = leader.core().raft()?.view();
        let running = self.cluster.running();
        let ids = running
            .iter()
            .map(|(_, node)| node.core().peers().me().node_id);
        let all_vote = view.members.members.configs == [ids.collect()];
        let is_settled = all_vote && view.members.log_id <= view.committed;
        let nodes: Vec<_> = running.iter().map(|(place, _)| *place).collect();
        if !is_settled || nodes.len() < 3 {
            return None;
        }
        self.one_of(&nodes)
    }

    /// A node loses its disk, and comes back as another one.
    pub(super) async fn lose_disk(&mut self) -> TestResult {
        let Some(node) = self.dispensable() else {
            return self.cut_power(None).await;
        };
        self.note(format!("{} loses its disk", name(node)));
        let down = self.power_off(node).await?;
        (self.disks)(node).wipe();
        self.start_again(down).await
    }
}

/// Whether a node goes on, whatever it was refused just before, even if it has not said so yet.
async fn goes_on(node: &Node) -> bool {
    let has_stopped = node.core().watch_stopped().borrow().is_some();
    let Some(raft) = node.core().raft().filter(|_| !has_stopped) else {
        return !has_stopped;
    };
    // One that is too busy to answer has not stopped.
    let answer = tokio::time::timeout(STOP_WITHIN, raft.goes_on()).await;
    answer.unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use serde::{Deserialize, Serialize};
    use tokio::sync::Notify;
    use tokio::time::Instant;

    use super::*;
    use crate::config::Seams;
    use crate::context::Rng;
    use crate::raft_service;
    use crate::storage::fs::faults::{FaultFs, Step};
    use crate::testing::check::nemesis::Disks;
    use crate::testing::check::record::Record;
    use crate::testing::cluster::Cluster;
    use crate::testing::simulation::simulate;

    const SEGMENT_BYTES: u64 = 64 << 10;

    #[raft_service(crate = crate)]
    #[derive(Default, Serialize, Deserialize)]
    struct Pages {
        written: u64,
    }

    #[raft_service(crate = crate)]
    impl Pages {
        fn write(&mut self, text: String) -> u64 {
            self.written += text.len() as u64;
            self.written
        }
    }

    async fn cluster(
        network: crate::testing::simulation::Network,
        disks: Disks,
    ) -> TestResult<Cluster<Pages>> {
        let configure = move |node, seams: Seams, config: crate::Config| {
            config.seams(Seams {
                fs: Arc::new(disks(node).of_this_life()),
                segment_bytes: Some(SEGMENT_BYTES),
                ..seams
            })
        };
        let cluster = Cluster::boot_seamed(3, Some(network), None, Box::new(configure)).await?;
        cluster.leader().await?;
        Ok(cluster)
    }

    /// The disk gets space in the very moment in which its node was refused some, before anybody
    /// could see that it stops.
    #[test]
    fn a_node_that_is_about_to_stop_on_a_full_disk_is_started_again() {
        let played = simulate(1, |network| async {
            let of_nodes = Mutex::<BTreeMap<TestNode, FaultFs>>::default();
            let disks: Disks = Arc::new(move |node| {
                let mut disks = of_nodes.lock().expect("no test panics with it");
                disks.entry(node).or_default().clone()
            });
            let cluster = cluster(network, Arc::clone(&disks)).await?;
            let (record, now) = (Record::new("Pages"), Instant::now());
            let (rng, aimed) = (Rng::new(1, 1), Rng::new(1, 2));
            let mut nemesis =
                Nemesis::new(cluster.clone(), record, Arc::clone(&disks), rng, aimed, now);

            let full = TestNode((cluster.leader().await?.0 + 1) % 3);
            let (disk, refused) = (disks(full), Arc::new(Notify::new()));
            disk.set_capacity(Some(disk.used()));
            let told = Arc::clone(&refused);
            // What there is of a segment that could not be made is removed.
            disk.at_step((Step::Remove, "spare.tmp"), move || told.notify_one());
            let client = cluster.client();
            let writing = tokio::spawn(async move {
                loop {
                    drop(client.write("page ".repeat(1_000)).await);
                }
            });
            refused.notified().await;
            let core = cluster.node(full)?;
            assert!(core.core().watch_stopped().borrow().is_none());
            nemesis.make_space(full).await?;
            writing.abort();
            cluster.converged().await?;
            assert_eq!(nemesis.stopped(), None);
            let had_stopped = "had stopped, its disk being full";
            let mut events = nemesis.events.iter();
            assert!(events.any(|event| event.text.contains(had_stopped)));
            cluster.stop_all().await;
            Ok(())
        });
        played.unwrap_or_else(|error| panic!("{error}"));
    }
}
