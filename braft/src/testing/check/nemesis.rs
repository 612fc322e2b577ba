//! Faults of a cluster under check, several at a time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::invent::below;
use super::record::Record;
use crate::context::Rng;
use crate::leadership::LeaderToken;
use crate::node::Stopped;
use crate::raft::Role;
use crate::service::Service;
use crate::storage::fs::faults::FaultFs;
use crate::testing::cluster::{Cluster, Down, TestNode};
use crate::testing::{TestError, TestResult};
use crate::world;

/// Faults that may last at once.
const MAX_LASTING: usize = 3;
/// Nodes that join a cluster during one check.
const MAX_JOINED: usize = 1;
/// Syncs that still succeed before one fails.
const MAX_SYNCS_BEFORE: u32 = 20;
/// The longest time for which a disk hangs.
const MAX_HANG_MS: u32 = 400;
/// How long a node may take to stop once a sync of its has failed.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// Something that happened to the cluster.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// Since the start of the check.
    pub(super) at: Duration,
    pub(super) text: String,
}

/// A fault that lasts until it is undone.
enum Lasting {
    Down(Down),
    /// The next syncs of its disk fail, and it stops.
    Sick(TestNode),
    Cut(&'static str),
    /// Its disk takes no more bytes.
    Full(TestNode),
}

/// Does harm to a cluster, and undoes it.
pub(super) struct Nemesis<S> {
    cluster: Cluster<S>,
    record: Arc<Record>,
    /// The disk of each node.
    disks: Arc<dyn Fn(TestNode) -> FaultFs + Send + Sync>,
    rng: Rng,
    start: Instant,
    lasting: Vec<Lasting>,
    joined: usize,
    pub(super) events: Vec<Event>,
}

impl<S: Service> Nemesis<S> {
    pub(super) fn new(
        cluster: Cluster<S>,
        record: Arc<Record>,
        disks: Arc<dyn Fn(TestNode) -> FaultFs + Send + Sync>,
        rng: Rng,
        start: Instant,
    ) -> Self {
        Nemesis {
            cluster,
            record,
            disks,
            rng,
            start,
            lasting: Vec::new(),
            joined: 0,
            events: Vec::new(),
        }
    }

    fn note(&mut self, text: String) {
        tracing::debug!(text, "fault");
        self.events.push(Event {
            at: self.start.elapsed(),
            text,
        });
    }

    fn one_of(&mut self, nodes: &[TestNode]) -> Option<TestNode> {
        let count = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
        (count > 0).then(|| nodes[below(&mut self.rng, count) as usize])
    }

    /// Nodes that run and have no failing disk.
    fn well(&self) -> Vec<TestNode> {
        let sick = |node: &TestNode| {
            let mut lasting = self.lasting.iter();
            lasting.any(|fault| matches!(fault, Lasting::Sick(sick) if sick == node))
        };
        let running = self.cluster.running().into_iter().map(|(node, _)| node);
        running.filter(|node| !sick(node)).collect()
    }

    /// Notes who leads at this moment, and who holds a leader's token.
    fn look(&self) {
        let mut holders: Vec<(usize, LeaderToken)> = Vec::new();
        for (place, node) in self.cluster.running() {
            let Some(raft) = node.core().raft() else {
                continue;
            };
            let view = raft.view();
            if view.role == Role::Leader {
                self.record.leads(view.term, place.0);
            }
            let token = raft.lease().tokens().borrow().clone();
            if let Some(token) = token.filter(LeaderToken::is_valid) {
                holders.push((place.0, token));
            }
        }
        // A token that is over is never valid again: the first was valid all along.
        if let [(one, token), (other, _), ..] = &holders[..]
            && token.is_valid()
        {
            self.record.two_tokens(*one, *other);
        }
    }

    /// Why a node has stopped that had no reason to.
    pub(super) fn stopped(&self) -> Option<(TestNode, String)> {
        let well = self.well();
        let mut running = self.cluster.running().into_iter();
        running.find_map(|(place, node)| {
            let stopped = node.core().watch_stopped().borrow().clone();
            match stopped {
                Some(Stopped::Fatal(why)) if well.contains(&place) => Some((place, why)),
                _ => None,
            }
        })
    }

    /// Begins or ends one fault.
    pub(super) async fn act(&mut self) -> TestResult {
        if !self.lasting.is_empty()
            && (self.lasting.len() == MAX_LASTING || below(&mut self.rng, 2) == 0)
        {
            let count = u32::try_from(self.lasting.len()).unwrap_or(u32::MAX);
            let which = below(&mut self.rng, count) as usize;
            let fault = self.lasting.swap_remove(which);
            return self.undo(fault).await;
        }
        match below(&mut self.rng, 11) {
            0 | 1 => self.cut_power(None).await,
            2 => {
                let leader = self.leader();
                self.cut_power(leader).await
            }
            3 => self.cut_all_power().await,
            4 => self.isolate(),
            5 => self.cut_one_way(),
            6 => self.force_snapshot().await,
            7 => self.hand_over().await,
            8 => self.fail_syncs(),
            9 => self.fill_disk(),
            _ if self.joined < MAX_JOINED && self.lasting.is_empty() => self.join().await,
            _ => self.hang_disk().await,
        }
    }

    /// Undoes what lasts.
    pub(super) async fn relent(&mut self) -> TestResult {
        while let Some(fault) = self.lasting.pop() {
            self.undo(fault).await?;
        }
        Ok(())
    }

    async fn undo(&mut self, fault: Lasting) -> TestResult {
        match fault {
            Lasting::Down(down) => self.start_again(down).await,
            Lasting::Sick(node) => {
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
            Lasting::Full(node) => {
                (self.disks)(node).set_capacity(None);
                self.note(format!("the disk of {} has space again", name(node)));
                Ok(())
            }
            Lasting::Cut(what) => {
                // All cuts go together.
                self.lasting
                    .retain(|fault| !matches!(fault, Lasting::Cut(_)));
                self.cluster.heal();
                self.note(format!("the network is whole again ({what})"));
                Ok(())
            }
        }
    }

    async fn start_again(&mut self, down: Down) -> TestResult {
        let node = down.node();
        // A node does not start where it cannot write.
        (self.disks)(node).set_capacity(None);
        self.cluster.restart(down).boxed().await?;
        self.note(format!("{} starts again", name(node)));
        Ok(())
    }

    fn leader(&self) -> Option<TestNode> {
        let mut running = self.cluster.running().into_iter();
        running.find_map(|(place, node)| node.core().raft()?.is_leader().then_some(place))
    }

    /// Stops a node as a power cut does: what was not synced is lost, in part or in whole.
    async fn cut_power(&mut self, node: Option<TestNode>) -> TestResult {
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

    async fn power_off(&mut self, node: TestNode) -> TestResult<Down> {
        // First the disk: what the node still does reaches nothing.
        (self.disks)(node).crash(self.rng.next_u64());
        self.cluster.kill(node).boxed().await
    }

    async fn cut_all_power(&mut self) -> TestResult {
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
                Lasting::Down(_) => {}
            }
        }
        self.cluster.start_all().boxed().await?;
        self.note("all nodes start again".to_owned());
        Ok(())
    }

    fn isolate(&mut self) -> TestResult {
        let well = self.well();
        if let Some(node) = self.one_of(&well) {
            self.cluster.isolate(node);
            self.note(format!("{} is cut off from the others", name(node)));
            self.lasting.push(Lasting::Cut("a node was cut off"));
        }
        Ok(())
    }

    fn cut_one_way(&mut self) -> TestResult {
        let well = self.well();
        let (from, to) = (self.one_of(&well), self.one_of(&well));
        if let (Some(from), Some(to)) = (from, to)
            && from != to
        {
            self.cluster.cut(from, to);
            self.note(format!(
                "{} cannot reach {}, the way back is open",
                name(from),
                name(to)
            ));
            self.lasting.push(Lasting::Cut("one way was cut"));
        }
        Ok(())
    }

    async fn force_snapshot(&mut self) -> TestResult {
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

    async fn hand_over(&mut self) -> TestResult {
        let (Some(leader), well) = (self.leader(), self.well()) else {
            return Ok(());
        };
        let Some(heir) = self.one_of(&well) else {
            return Ok(());
        };
        let id = self.cluster.node(heir)?.core().peers().me().node_id;
        let leading = self.cluster.node(leader)?;
        if let Some(raft) = leading.core().raft()
            && raft.transfer_leader(id).await.is_ok()
        {
            let (leader, heir) = (name(leader), name(heir));
            self.note(format!("{leader} hands leadership to {heir}"));
        }
        Ok(())
    }

    fn fail_syncs(&mut self) -> TestResult {
        let well = self.well();
        if let Some(node) = self.one_of(&well) {
            let after = below(&mut self.rng, MAX_SYNCS_BEFORE);
            (self.disks)(node).fail_sync(after.into(), std::io::ErrorKind::Other);
            self.note(format!("a sync of {} fails after {after} more", name(node)));
            self.lasting.push(Lasting::Sick(node));
        }
        Ok(())
    }

    fn fill_disk(&mut self) -> TestResult {
        let well = self.well();
        if let Some(node) = self.one_of(&well) {
            let disk = (self.disks)(node);
            disk.set_capacity(Some(disk.used()));
            self.note(format!("the disk of {} is full", name(node)));
            self.lasting.push(Lasting::Full(node));
        }
        Ok(())
    }

    async fn hang_disk(&mut self) -> TestResult {
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

    async fn join(&mut self) -> TestResult {
        self.joined += 1;
        self.note("a node with an empty disk asks to join".to_owned());
        let node = self.cluster.add_node().boxed().await?;
        self.note(format!("{} is a member", name(node)));
        Ok(())
    }
}

/// Does harm until told to stop; the harm undone, the events come back.
pub(super) async fn torment<S: Service>(
    mut nemesis: Nemesis<S>,
    progress: impl Fn() -> usize,
    every: usize,
    is_over: impl Fn() -> bool,
) -> (Vec<Event>, TestResult) {
    /// A fault waits for so many calls, or for this, in case none get through.
    const LONGEST_WAIT: Duration = Duration::from_millis(800);
    const LOOK_EVERY: Duration = Duration::from_millis(20);
    let result = async {
        while !is_over() {
            let (since, next) = (Instant::now(), progress().saturating_add(every));
            while progress() < next && since.elapsed() < LONGEST_WAIT && !is_over() {
                nemesis.look();
                if let Some((node, why)) = nemesis.stopped() {
                    return Err(TestError::of_text(format!("{} stopped: {why}", name(node))));
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            if is_over() {
                break;
            }
            nemesis.act().await?;
        }
        nemesis.relent().await
    };
    let result = result.await;
    (nemesis.events, result)
}

fn name(node: TestNode) -> String {
    format!("node {}", node.0)
}
