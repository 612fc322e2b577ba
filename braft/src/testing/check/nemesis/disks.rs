//! Disks that fail, fill up, hang, or are lost.

use std::time::Duration;

use futures_util::FutureExt;

use super::super::invent::below;
use super::{Lasting, Nemesis, name};
use crate::node::Stopped;
use crate::service::Service;
use crate::testing::TestResult;
use crate::testing::cluster::TestNode;
use crate::world;

/// Syncs that still succeed before one fails.
const MAX_SYNCS_BEFORE: u32 = 20;
/// The longest time for which a disk hangs.
const MAX_HANG_MS: u32 = 400;
/// How long a node may take to stop once a sync of its has failed.
const STOP_WITHIN: Duration = Duration::from_secs(2);

impl<S: Service> Nemesis<S> {
    pub(super) fn fail_syncs(&mut self) -> TestResult {
        let well = self.well();
        if let Some(node) = self.one_of(&well) {
            let after = below(&mut self.rng, MAX_SYNCS_BEFORE);
            (self.disks)(node).fail_sync(after.into(), std::io::ErrorKind::Other);
            self.note(format!("a sync of {} fails after {after} more", name(node)));
            self.lasting.push(Lasting::Sick(node));
        }
        Ok(())
    }

    /// Starts a node again whose disk was failing.
    pub(super) async fn recover(&mut self, node: TestNode) -> TestResult {
        let running = self.cluster.node(node)?;
        let stopped = tokio::time::timeout(STOP_WITHIN, running.stopped()).await;
        let why = match stopped {
            Ok(Stopped::Fatal(_)) => "stopped as a sync of its failed",
            Ok(Stopped::Shutdown) | Err(_) => "had nothing to sync and is stopped",
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
        // It may have lost its power meanwhile.
        let has_stopped = |running: crate::node::Node| {
            let stopped = running.core().watch_stopped();
            stopped.borrow().is_some()
        };
        if !self.cluster.node(node).is_ok_and(has_stopped) {
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
