//! Power that is cut: of one node, of all, at a step of a write, of all but a leader.

use futures_util::FutureExt;

use super::super::invent::below;
use super::clocks::DRIFT;
use super::{Lasting, Nemesis, name};
use crate::service::Service;
use crate::storage::fs::faults::Step;
use crate::testing::TestResult;
use crate::testing::cluster::{Down, TestNode};

/// Steps of a kind that are still taken before the one at which the power is cut.
const MAX_STEPS_BEFORE: u32 = 12;

/// Steps of a node at which its power may be cut: a name, what the disk does, in which directory.
const STEPS: [(&str, Step, &str); 10] = [
    ("as it writes to its log", Step::Write, "log"),
    ("as it syncs its log", Step::Sync, "log"),
    ("as it names a segment of its log", Step::Rename, "log"),
    ("as it syncs the names of its log", Step::SyncDir, "log"),
    ("as it purges its log", Step::Remove, "log"),
    ("as it writes a snapshot", Step::Write, "snapshots"),
    ("as it syncs a snapshot", Step::Sync, "snapshots"),
    ("as it names a snapshot", Step::Rename, "snapshots"),
    (
        "as it syncs the names of its snapshots",
        Step::SyncDir,
        "snapshots",
    ),
    ("as it drops a snapshot", Step::Remove, "snapshots"),
];

impl<S: Service> Nemesis<S> {
    /// Stops a node as a power cut does: what was not synced is lost, in part or in whole.
    pub(super) async fn cut_power(&mut self, node: Option<TestNode>) -> TestResult {
        let well = self.well();
        let node = match node.filter(|node| well.contains(node)) {
            Some(node) => node,
            None => match self.one_of(&well) {
                Some(node) => node,
                None => return Ok(()),
            },
        };
        let role = if self.leader() == Some(node) {
            ", which leads"
        } else {
            ""
        };
        self.note(format!("the power of {}{role}, is cut", name(node)));
        let down = self.power_off(node).await?;
        self.lasting.push(Lasting::Down(down));
        Ok(())
    }

    pub(super) async fn power_off(&mut self, node: TestNode) -> TestResult<Down> {
        // First the disk: what the node still does reaches nothing.
        (self.disks)(node).crash(self.rng.next_u64());
        self.cluster.kill(node).boxed().await
    }

    pub(super) async fn cut_all_power(&mut self) -> TestResult {
        self.note("the power of all nodes is cut".to_owned());
        for (node, _) in self.cluster.running() {
            (self.disks)(node).crash(self.rng.next_u64());
        }
        self.cluster.stop_all().await;
        let failing = std::mem::take(&mut self.lasting);
        for fault in failing {
            match fault {
                Lasting::Sick(node) => (self.disks)(node).heal(),
                Lasting::Cut(_) => self.lasting.push(fault),
                Lasting::Full(node) => (self.disks)(node).set_capacity(None),
                // The crash was the one to come.
                Lasting::Down(_) | Lasting::Doomed(_) | Lasting::Paused(_) => {}
            }
        }
        self.been_full.clear();
        self.cluster.start_all().boxed().await?;
        self.note("all nodes start again".to_owned());
        Ok(())
    }

    /// Cuts the power of a node at a step that it has yet to take.
    pub(super) fn doom(&mut self) -> TestResult {
        let well = self.well();
        let Some(node) = self.one_of(&well) else {
            return Ok(());
        };
        let count = u32::try_from(STEPS.len()).unwrap_or(u32::MAX);
        let (when, step, dir) = STEPS[below(&mut self.rng, count) as usize];
        let often = matches!(step, Step::Write | Step::Sync);
        let after = below(&mut self.rng, if often { MAX_STEPS_BEFORE } else { 2 });
        let (seed, unplug) = (self.rng.next_u64(), self.cluster.unplug(node));
        (self.disks)(node).crash_at((step, dir), after.into(), seed, unplug);
        self.note(format!("the power of {} will be cut {when}", name(node)));
        self.lasting.push(Lasting::Doomed(node));
        Ok(())
    }

    /// Starts a node again whose power was to be cut at a step.
    pub(super) async fn doomed_again(&mut self, node: TestNode) -> TestResult {
        let has_come = !(self.disks)(node).step_is_due();
        if let Some(why) = self.why_stopped(node) {
            self.had_a_reason(node, &why, has_come)?;
        }
        let what = if !has_come {
            (self.disks)(node).crash(self.rng.next_u64());
            "has not come to that step; its power is cut"
        } else {
            "had its power cut"
        };
        self.note(format!("{} {what}", name(node)));
        let down = self.cluster.kill(node).boxed().await?;
        self.start_again(down).await
    }

    /// Cuts the leader off while all others lose their power for a moment: whoever forgets what it
    /// has promised elects another leader under its nose.
    pub(super) async fn startle(&mut self) -> TestResult {
        let Some(leader) = self.leader().filter(|_| self.lasting.is_empty()) else {
            return self.cut_power(None).await;
        };
        self.cluster.isolate(leader);
        self.lasting.push(Lasting::Cut(
            "a leader was cut off, and the others restarted",
        ));
        self.note(format!(
            "{} leads and is cut off, the others lose their power for a moment",
            name(leader)
        ));
        let others = self.well().into_iter().filter(|node| *node != leader);
        let others: Vec<_> = others.collect();
        for node in &others {
            // Their time runs ahead of whatever a leader goes by.
            self.cluster.set_clock_rate(*node, 1.0 + DRIFT);
            (self.disks)(*node).crash(self.rng.next_u64());
        }
        let mut down = Vec::new();
        for node in others {
            down.push(self.cluster.kill(node).boxed().await?);
        }
        for down in down {
            self.cluster.restart(down).boxed().await?;
        }
        Ok(())
    }
}
