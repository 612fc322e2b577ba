//! A cluster that forms while its nodes lose their power and each other, and see only some of the
//! others.

use std::time::Duration;

use futures_util::FutureExt;

use super::super::invent::below;
use super::sights::Sights;
use super::{Disks, Event, Lookout};
use crate::context::Rng;
use crate::discovery::PeerAddress;
use crate::service::Service;
use crate::storage::fs::faults::Step;
use crate::testing::TestResult;
use crate::testing::cluster::{Cluster, TestNode};

/// Faults while a cluster forms.
const FAULTS: u32 = 50;
/// The longest time between two of them: less than between two looks of a node that forms a cluster.
const MAX_PAUSE_MS: u32 = 70;
/// Of so many faults one is a step at which nodes are lost to the others.
const LOSE_ONE_IN: u32 = 12;
/// How long the others then have: nodes count on whom they have not heard for a second and a half.
const MIN_LONG_PAUSE_MS: u32 = 1_500;
const MAX_LONG_PAUSE_MS: u32 = 4_000;
/// What a node writes down as it forms a cluster.
const STEPS: [(&str, &str); 2] = [
    ("as it makes a promise", "promise"),
    ("as it writes down its cluster", "node"),
];

/// A cluster that forms.
pub(in super::super) struct Forming<'a, S> {
    cluster: &'a Cluster<S>,
    disks: &'a Disks,
    /// What discovery shows, where it does not show all to all.
    sights: Option<Sights>,
    rng: Rng,
    all: Vec<PeerAddress>,
    /// Nodes whose power was cut, or may have been.
    down: Vec<TestNode>,
    events: Vec<Event>,
}

impl<'a, S: Service> Forming<'a, S> {
    /// The nodes have just been started.
    pub(in super::super) fn new(
        cluster: &'a Cluster<S>,
        disks: &'a Disks,
        sights: Option<Sights>,
        rng: Rng,
        nodes: usize,
    ) -> Self {
        let addresses = (0..nodes).map(|node| cluster.address(TestNode(node)));
        Forming {
            cluster,
            disks,
            sights,
            rng,
            all: addresses
                .filter_map(|address| address.parse().ok())
                .collect(),
            down: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Lets them form a cluster under faults; in the end all run, see and reach each other.
    pub(in super::super) async fn torment(
        mut self,
        lookout: &Lookout<S>,
    ) -> TestResult<Vec<Event>> {
        lookout.during(self.form()).await?;
        lookout.disturbed();
        lookout.look(|_| false);
        Ok(self.events)
    }

    async fn form(&mut self) -> TestResult {
        self.look_around();
        let faults = below(&mut self.rng, FAULTS);
        let mut is_first = below(&mut self.rng, 2) == 0;
        for _ in 0..faults {
            if std::mem::take(&mut is_first) || below(&mut self.rng, LOSE_ONE_IN) == 0 {
                self.lose_at_a_step();
                let more = below(&mut self.rng, MAX_LONG_PAUSE_MS - MIN_LONG_PAUSE_MS);
                pause(MIN_LONG_PAUSE_MS + more).await;
                continue;
            }
            self.act().await?;
            let millis = below(&mut self.rng, MAX_PAUSE_MS);
            pause(millis).await;
        }
        self.relent().await
    }

    fn note(&mut self, text: String) {
        self.events.push(Event {
            at: Duration::ZERO,
            text: format!("while forming: {text}"),
        });
    }

    fn any_node(&mut self) -> TestNode {
        let count = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        TestNode(below(&mut self.rng, count) as usize)
    }

    async fn act(&mut self) -> TestResult {
        let node = self.any_node();
        match below(&mut self.rng, 7) {
            0 | 1 => {
                self.cluster.isolate(node);
                self.note(format!("node {} is cut off", node.0));
            }
            2 => {
                let to = self.any_node();
                self.cluster.cut(node, to);
                self.note(format!("node {} cannot reach node {}", node.0, to.0));
            }
            3 | 4 if !self.down.contains(&node) => {
                (self.disks)(node).crash(self.rng.next_u64());
                // It is started again by its place.
                let _ = self.cluster.kill(node).boxed().await?;
                self.down.push(node);
                self.note(format!("the power of node {} is cut", node.0));
            }
            5 => self.look_around(),
            _ => self.relent().await?,
        }
        Ok(())
    }

    /// Discovery shows other nodes than before.
    fn look_around(&mut self) {
        if let Some(sights) = self.sights.clone() {
            for node in 0..self.all.len() {
                sights.show_some(TestNode(node), &self.all, &mut self.rng);
            }
            self.note("discovery shows other nodes".to_owned());
        }
    }

    /// Nodes are cut off, or lose their power, just as they write down what the others have to be told.
    fn lose_at_a_step(&mut self) {
        for node in (0..self.all.len()).map(TestNode) {
            if self.down.contains(&node) || below(&mut self.rng, 2) == 0 {
                continue;
            }
            let (when, file) = STEPS[below(&mut self.rng, 2) as usize];
            let disk = (self.disks)(node);
            if below(&mut self.rng, 3) == 0 {
                let (seed, unplug) = (self.rng.next_u64(), self.cluster.unplug(node));
                disk.crash_at((Step::Rename, file), 0, seed, unplug);
                self.down.push(node);
                self.note(format!("the power of node {} will be cut {when}", node.0));
            } else {
                let cluster = self.cluster.clone();
                disk.at_step((Step::Rename, file), move || cluster.isolate(node));
                self.note(format!("node {} will be cut off {when}", node.0));
            }
        }
    }

    /// All run, see and reach each other.
    async fn relent(&mut self) -> TestResult {
        for node in (0..self.all.len()).map(TestNode) {
            (self.disks)(node).nothing_at_steps();
        }
        for node in std::mem::take(&mut self.down) {
            // One whose power was to be cut at a step may not have come to it.
            if self.cluster.node(node).is_ok() {
                (self.disks)(node).crash(self.rng.next_u64());
                let _ = self.cluster.kill(node).boxed().await?;
            }
            self.cluster.start_again(node).boxed().await?;
        }
        self.cluster.heal();
        if let Some(sights) = &self.sights {
            for node in (0..self.all.len()).map(TestNode) {
                sights.show(node, self.all.clone());
            }
        }
        self.note("all is well".to_owned());
        Ok(())
    }
}

async fn pause(millis: u32) {
    tokio::time::sleep(Duration::from_millis(millis.into())).await;
}
