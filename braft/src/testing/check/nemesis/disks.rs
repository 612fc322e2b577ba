//! Disks that fail, fill up, hang, or are lost.

use std::io;
use std::time::Duration;

use futures_util::FutureExt;

use super::super::invent::below;
use super::stops::by_itself;
use super::{Lasting, Nemesis, name};
use crate::node::{Node, Stopped};
use crate::service::Service;
use crate::testing::TestResult;
use crate::testing::cluster::TestNode;
use crate::world;

/// Writes or syncs that still succeed before one fails.
const MAX_STEPS_BEFORE: u32 = 20;
/// Of so many writes or syncs one read.
const READ_SELDOM: u32 = 5;
/// The longest time for which a disk hangs.
const MAX_HANG_MS: u32 = 400;
/// How long a node may take to stop once its disk has failed.
const STOP_WITHIN: Duration = Duration::from_secs(2);

impl<S: Service> Nemesis<S> {
    /// One write, one sync or one read of a node fails.
    pub(super) fn fail_disk(&mut self) -> TestResult {
        let well = self.well();
        if let Some(node) = self.one_of(&well) {
            let after = below(&mut self.rng, MAX_STEPS_BEFORE);
            let (disk, kind) = ((self.disks)(node), io::ErrorKind::Other);
            let (what, after) = match below(&mut self.aimed, 3) {
                0 => {
                    disk.fail_write(after.into(), kind);
                    ("write", after)
                }
                1 => {
                    disk.fail_sync(after.into(), kind);
                    ("sync", after)
                }
                // A node reads little: what it wrote lately is in memory.
                _ => {
                    let after = after / READ_SELDOM;
                    disk.fail_read(after.into(), kind);
                    ("read", after)
                }
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
            Ok(Stopped::Fatal(why)) => {
                let has_come = !(self.disks)(node).fault_is_due();
                self.had_a_reason(node, &why, has_come)?;
                "stopped as its disk failed"
            }
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
            self.been_full.insert(node);
            self.note(format!("the disk of {} is full", name(node)));
            self.lasting.push(Lasting::Full(node));
        }
        Ok(())
    }

    /// Gives a disk space again, and starts a node that had to stop for want of it.
    pub(super) async fn make_space(&mut self, node: TestNode) -> TestResult {
        (self.disks)(node).set_capacity(None);
        self.note(format!("the disk of {} has space again", name(node)));
        self.after_want_of_space(node).await
    }

    /// Starts a node that had to stop while its disk was full.
    pub(super) async fn after_want_of_space(&mut self, node: TestNode) -> TestResult {
        // It may have lost its power meanwhile, or have another fault: it is looked after with that.
        if !self.well().contains(&node) {
            return Ok(());
        }
        let running = self.cluster.node(node)?;
        if goes_on(&running).await {
            self.been_full.remove(&node);
            return Ok(());
        }
        // It is about to say why.
        match tokio::time::timeout(STOP_WITHIN, running.stopped()).await {
            Ok(Stopped::Fatal(why)) => self.had_a_reason(node, &why, false)?,
            Ok(Stopped::Shutdown) | Err(_) => return Err(by_itself(node, "it does not say why")),
        }
        drop(running);
        self.note(format!("{} had stopped, its disk being full", name(node)));
        let down = self.cluster.kill(node).boxed().await?;
        self.start_again(down).await
    }

    pub(super) async fn hang_disk(&mut self) -> TestResult {
        if world::is_simulated() {
            // A simulation has one thread, and would wait for ever: all of the node stands still.
            return self.pause();
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
    use std::sync::Arc;

    use tokio::sync::Notify;

    use super::super::stage::play;
    use super::*;
    use crate::storage::fs::faults::Step;

    /// The disk gets space in the very moment in which its node was refused some, before anybody
    /// could see that it stops.
    #[test]
    fn a_node_that_is_about_to_stop_on_a_full_disk_is_started_again() {
        play(1, async |mut stage| {
            let full = TestNode((stage.cluster.leader().await?.0 + 1) % 3);
            let (disk, refused) = ((stage.nemesis.disks)(full), Arc::new(Notify::new()));
            disk.set_capacity(Some(disk.used()));
            stage.nemesis.been_full.insert(full);
            let told = Arc::clone(&refused);
            // What there is of a segment that could not be made is removed.
            disk.at_step((Step::Remove, "spare.tmp"), move || told.notify_one());
            stage.write_until(refused.notified()).await;
            let core = stage.cluster.node(full)?;
            assert!(core.core().watch_stopped().borrow().is_none());
            drop(core);
            stage.nemesis.make_space(full).await?;
            stage.cluster.converged().await?;
            assert_eq!(stage.nemesis.stopped(), None);
            let had_stopped = "had stopped, its disk being full";
            let mut events = stage.nemesis.events.iter();
            assert!(events.any(|event| event.text.contains(had_stopped)));
            Ok(())
        });
    }

    /// A leader that goes on would let that follower wait for ever.
    #[test]
    fn a_leader_that_cannot_read_a_snapshot_it_has_to_send_stops_and_names_it() {
        play(9, async |mut stage| {
            let leader = stage.cluster.leader().await?;
            let behind = TestNode((leader.0 + 1) % 3);
            stage.cluster.isolate(behind);
            let client = stage.cluster.client();
            for page in 0..20 {
                client.write(format!("page {page}")).await?;
            }
            let leading = stage.cluster.node(leader)?;
            leading
                .core()
                .raft()
                .ok_or("it has no raft")?
                .snapshot()
                .await?;
            let disk = (stage.nemesis.disks)(leader);
            let is_purged = || {
                let state = leading.core().raft().map(|raft| raft.wal().state());
                state.is_some_and(|state| state.last_purged.is_some_and(|last| last.index > 10))
            };
            stage
                .cluster
                .eventually("the log to be purged", is_purged)
                .await?;
            disk.fail_read(0, io::ErrorKind::Other);
            stage.nemesis.lasting.push(Lasting::Sick(leader));
            stage.cluster.heal();
            let why = stage.cluster.why_stopped(leader).await?;
            assert!(why.contains(".snap: injected fault"), "{why}");
            assert!(!disk.fault_is_due());
            drop(leading);
            // Nothing is lost, and the one that was behind gets a snapshot of the next leader.
            client.write("the last page".to_owned()).await?;
            stage.nemesis.relent().await?;
            stage.cluster.converged().await
        });
    }
}
