//! Nodes that stop: which faults are reason enough.

use super::{Disks, Lasting, Nemesis, name};
use crate::node::Stopped;
use crate::service::Service;
use crate::testing::cluster::TestNode;
use crate::testing::{TestError, TestResult};

/// What a node says that stops because its disk is full: as the disk tells it, or the kind of the error.
const FULL: [&str; 2] = ["full disk", "no storage space"];

impl<S: Service> Nemesis<S> {
    /// A node that has stopped, and no fault is a reason for it; and what it says.
    pub(super) fn stopped(&self) -> Option<(TestNode, String)> {
        let running = self.cluster.running().into_iter();
        let mut stopped = running.filter_map(|(place, _)| Some((place, self.why_stopped(place)?)));
        stopped.find(|(place, why)| !self.may_stop(*place, why))
    }

    pub(super) fn nobody_stopped_by_itself(&self) -> TestResult {
        match self.stopped() {
            Some((node, why)) => Err(by_itself(node, &why)),
            None => Ok(()),
        }
    }

    /// What a node says that has stopped.
    pub(super) fn why_stopped(&self, place: TestNode) -> Option<String> {
        let node = self.cluster.node(place).ok()?;
        let stopped = node.core().watch_stopped().borrow().clone();
        match stopped {
            Some(Stopped::Fatal(why)) => Some(why),
            Some(Stopped::Shutdown) | None => None,
        }
    }

    /// Whether a node has a reason to stop, by what it says.
    pub(super) fn may_stop(&self, place: TestNode, why: &str) -> bool {
        let is_full = self.been_full.contains(&place) && FULL.iter().any(|full| why.contains(full));
        let is_at_fault = disk_is_at_fault(&self.lasting, &self.disks, place);
        is_full || is_at_fault || self.is_too_old(place, why)
    }

    /// Fails if a node has stopped on which a fault was to come that has not come yet.
    pub(super) fn had_a_reason(
        &self,
        place: TestNode,
        why: &str,
        fault_has_come: bool,
    ) -> TestResult {
        if fault_has_come || self.may_stop(place, why) {
            return Ok(());
        }
        Err(by_itself(place, why))
    }
}

/// Whether the fault of a node's disk has come: one that is yet to come is no reason for anything.
pub(super) fn disk_is_at_fault(lasting: &[Lasting], disks: &Disks, place: TestNode) -> bool {
    lasting.iter().any(|fault| match fault {
        Lasting::Sick(sick) => *sick == place && !disks(place).fault_is_due(),
        Lasting::Doomed(doomed) => *doomed == place && !disks(place).step_is_due(),
        Lasting::Down(_) | Lasting::Cut(_) | Lasting::Full(_) | Lasting::Paused(_) => false,
    })
}

pub(super) fn by_itself(node: TestNode, why: &str) -> TestError {
    TestError::of_text(format!("{} stopped: {why}", name(node)))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::super::stage::{Stage, play};
    use super::*;
    use crate::storage::fs::faults::Step;

    /// More than a node writes in a test.
    const NEVER: u64 = 1_000_000;

    /// A node whose disk is taken from it, so that it stops: no fault that it is to get is a reason.
    async fn stop(stage: &Stage, node: TestNode) -> TestResult {
        (stage.nemesis.disks)(node).crash(1);
        let running = stage.cluster.node(node)?;
        let _ = stage.write_until(running.stopped()).await;
        Ok(())
    }

    fn is_named(result: TestResult, node: TestNode) {
        let text = result.expect_err("it has stopped by itself").to_string();
        assert!(text.contains(&name(node)), "{text}");
        assert!(text.contains("the machine has crashed since"), "{text}");
    }

    #[test]
    fn a_node_that_stops_before_the_fault_of_its_disk_has_come_is_named() {
        play(1, async |mut stage| {
            let node = TestNode(1);
            stop(&stage, node).await?;
            (stage.nemesis.disks)(node).fail_sync(NEVER, io::ErrorKind::Other);
            stage.nemesis.lasting.push(Lasting::Sick(node));
            is_named(stage.nemesis.nobody_stopped_by_itself(), node);
            stage.nemesis.lasting.clear();
            is_named(stage.nemesis.recover(node).await, node);
            // Once it has come, it is a reason.
            (stage.nemesis.disks)(node).heal();
            stage.nemesis.lasting.push(Lasting::Sick(node));
            stage.nemesis.nobody_stopped_by_itself()?;
            stage.nemesis.relent().await?;
            stage.cluster.converged().await
        });
    }

    #[test]
    fn a_node_that_stops_before_its_power_is_cut_is_named() {
        play(2, async |mut stage| {
            let node = TestNode(1);
            stop(&stage, node).await?;
            let disk = (stage.nemesis.disks)(node);
            disk.crash_at((Step::Write, "log"), NEVER, 1, || {});
            stage.nemesis.lasting.push(Lasting::Doomed(node));
            is_named(stage.nemesis.nobody_stopped_by_itself(), node);
            stage.nemesis.lasting.clear();
            is_named(stage.nemesis.doomed_again(node).await, node);
            disk.nothing_at_steps();
            stage.nemesis.lasting.push(Lasting::Doomed(node));
            stage.nemesis.nobody_stopped_by_itself()?;
            stage.nemesis.relent().await?;
            stage.cluster.converged().await
        });
    }

    #[test]
    fn a_node_with_a_full_disk_that_stops_for_another_reason_is_named() {
        play(3, async |mut stage| {
            let node = TestNode(1);
            (stage.nemesis.disks)(node).set_capacity(Some(u64::MAX));
            stage.nemesis.been_full.insert(node);
            stage.nemesis.lasting.push(Lasting::Full(node));
            stop(&stage, node).await?;
            is_named(stage.nemesis.nobody_stopped_by_itself(), node);
            is_named(stage.nemesis.relent().await, node);
            Ok(())
        });
    }

    #[test]
    fn a_new_node_whose_disk_is_full_as_it_joins_says_why_it_stops() {
        play(4, async |mut stage| {
            let node = TestNode(1);
            let down = stage.nemesis.power_off(node).await?;
            let disk = (stage.nemesis.disks)(node);
            disk.wipe();
            stage.nemesis.start_again(down).await?;
            disk.set_capacity(Some(disk.used()));
            stage.nemesis.been_full.insert(node);
            stage.cluster.node(node)?.stopped().await;
            let why = stage.nemesis.why_stopped(node).ok_or("it was shut down")?;
            assert!(stage.nemesis.may_stop(node, &why), "{why}");
            stage.nemesis.nobody_stopped_by_itself()
        });
    }
}
