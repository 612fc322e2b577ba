//! Faults of a cluster under check, several at a time.
//!
//! | file | what it holds |
//! |---|---|
//! | `mod.rs` | which fault comes next, and how it ends |
//! | `stops.rs` | which faults are reason enough to stop |
//! | `power.rs` | power that is cut, at a step of a write too |
//! | `disks.rs` | disks that fail, fill up, are lost |
//! | `damage.rs` | disks with a wrong bit |
//! | `network.rs` | cuts |
//! | `stranger.rs` | a node of another cluster |
//! | `pauses.rs` | nodes that stand still |
//! | `clocks.rs` | clocks that drift and jump |
//! | `members.rs` | snapshots, handovers, nodes that come and go |
//! | `binaries.rs` | nodes that get a newer binary |
//! | `rough.rs`, `sights.rs` | a cluster that forms under faults, and what its nodes see of each other |
//! | `invariants.rs`, `logs.rs`, `reading.rs` | what has to hold at each moment: of nodes, of logs and states |
//! | `lookout.rs` | who looks whether it does, whatever goes on |

mod binaries;
mod clocks;
mod damage;
mod disks;
mod invariants;
mod logs;
mod lookout;
mod members;
mod network;
mod pauses;
mod power;
mod reading;
mod rough;
mod sights;
#[cfg(test)]
pub(super) mod stage;
mod stops;
mod stranger;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub(super) use self::invariants::CALM;
use self::lookout::LOOK_EVERY;
pub(super) use self::lookout::Lookout;
pub(super) use self::rough::Forming;
pub(super) use self::sights::Sights;
use self::stops::disk_is_at_fault;
use super::invent::below;
use super::record::Record;
use super::script::{Act, Script};
use crate::context::Rng;
use crate::service::Service;
use crate::storage::fs::faults::FaultFs;
use crate::testing::TestResult;
use crate::testing::cluster::{Cluster, Down, TestNode};
use crate::world;

/// Streams of random numbers, one of each kind for each fault; clients have lower ones.
const FAULTS: u32 = 1 << 31;
const AIMED: u32 = FAULTS + FAULTS_AT_MOST;
const FAULTS_AT_MOST: u32 = 1 << 29;
/// Faults that may last at once.
const MAX_LASTING: usize = 3;
/// Nodes that join a cluster during one check.
const MAX_JOINED: usize = 1;
/// For how long the cluster is left alone now and then: longer than a silence that counts.
const REST: Duration = Duration::from_secs(8);

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
    /// A write, sync or read of its disk fails, and it stops.
    Sick(TestNode),
    Cut(&'static str),
    /// Its disk takes no more bytes.
    Full(TestNode),
    /// Its power is cut at a step that is to come.
    Doomed(TestNode),
    /// It stands still.
    Paused(TestNode),
}

/// The disk of each node.
pub(super) type Disks = Arc<dyn Fn(TestNode) -> FaultFs + Send + Sync>;

/// Does harm to a cluster, and undoes it.
pub(super) struct Nemesis<S> {
    cluster: Cluster<S>,
    record: Arc<Record>,
    disks: Disks,
    seed: u64,
    /// Those of the present fault: what came before draws from others, and can be left out.
    rng: Rng,
    /// For what is aimed at the beliefs of leaders. Apart, so that it shifts nothing else.
    aimed: Rng,
    /// In half of the checks one clock runs as slow as clocks may, and all others as fast, from the next
    /// start of their nodes on.
    slow: Option<TestNode>,
    start: Instant,
    lasting: Vec<Lasting>,
    /// Nodes whose disk was full since they were started.
    been_full: BTreeSet<TestNode>,
    joined: usize,
    /// Nodes that still have an older binary.
    older: BTreeSet<TestNode>,
    /// Nothing happens before this.
    rests_until: Instant,
    lookout: Lookout<S>,
    events: Vec<Event>,
    acts: BTreeMap<usize, Act>,
}

/// What was done to a cluster.
pub(super) struct Done {
    pub(super) events: Vec<Event>,
    /// By their numbers.
    pub(super) acts: BTreeMap<usize, Act>,
}

/// When the next fault comes.
pub(super) enum Pace<P> {
    /// After so many more calls.
    Calls { made: P, every: usize },
    /// When the script says so.
    Script(Arc<Script>),
}

impl<S: Service> Nemesis<S> {
    pub(super) fn new(
        cluster: Cluster<S>,
        record: Arc<Record>,
        lookout: Lookout<S>,
        disks: Disks,
        seed: u64,
        start: Instant,
    ) -> Self {
        let mut aimed = Rng::new(seed, AIMED);
        let nodes: Vec<_> = cluster
            .running()
            .into_iter()
            .map(|(node, _)| node)
            .collect();
        lookout.disturbed();
        let slow = below(&mut aimed, 2) == 0;
        let slow = slow.then(|| one_of(&mut aimed, &nodes)).flatten();
        Nemesis {
            cluster,
            record,
            disks,
            seed,
            rng: Rng::new(seed, FAULTS),
            aimed,
            slow,
            start,
            lasting: Vec::new(),
            been_full: BTreeSet::new(),
            joined: 0,
            older: BTreeSet::new(),
            rests_until: start,
            lookout,
            events: Vec::new(),
            acts: BTreeMap::new(),
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
        one_of(&mut self.rng, nodes)
    }

    /// Nodes that run, do not stand still and have no failing disk.
    fn well(&self) -> Vec<TestNode> {
        let is_unwell = |node: &TestNode| {
            self.lasting.iter().any(|fault| match fault {
                Lasting::Sick(other) | Lasting::Doomed(other) | Lasting::Paused(other) => {
                    other == node
                }
                Lasting::Down(_) | Lasting::Cut(_) | Lasting::Full(_) => false,
            })
        };
        let running = self.cluster.running().into_iter().map(|(node, _)| node);
        running.filter(|node| !is_unwell(node)).collect()
    }

    fn look(&mut self) {
        if !self.lasting.is_empty() {
            self.lookout.disturbed();
        }
        let (lasting, disks) = (&self.lasting, &self.disks);
        let at_fault = |place| disk_is_at_fault(lasting, disks, place);
        self.lookout.look(at_fault);
    }

    /// Begins or ends one fault, whichever the script says, if there is one.
    async fn act(&mut self, number: usize, scripted: Option<Act>) -> TestResult {
        let stream = u32::try_from(number + 1).unwrap_or(u32::MAX) % FAULTS_AT_MOST;
        self.rng = Rng::new(self.seed, FAULTS + stream);
        self.aimed = Rng::new(self.seed, AIMED + stream);
        let may_end = below(&mut self.rng, 2) == 0;
        let ends_one = match scripted {
            Some(act) => act.ends_one,
            None => !self.lasting.is_empty() && (self.lasting.len() == MAX_LASTING || may_end),
        };
        let act = Act {
            at: self.start.elapsed(),
            ends_one,
        };
        self.acts.insert(number, act);
        let limit = if ends_one { 0 } else { MAX_LASTING };
        if scripted.is_some() && self.lasting.len() == limit {
            // What the script leaves out has to come before this.
            return Ok(());
        }
        if ends_one {
            let count = u32::try_from(self.lasting.len()).unwrap_or(u32::MAX);
            let which = below(&mut self.rng, count) as usize;
            let fault = self.lasting.swap_remove(which);
            return self.undo(fault).await;
        }
        self.lookout.disturbed();
        match below(&mut self.rng, 22) {
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
            8 => self.fail_disk(),
            9 => self.fill_disk(),
            10 if self.joined < MAX_JOINED && self.lasting.is_empty() => self.join().await,
            11..=13 => self.doom(),
            14 => self.startle().await,
            15 => self.lose_disk().await,
            16 => self.damage().await,
            17 => self.leave().await,
            18 => self.meet_stranger().await,
            19 => self.jump(),
            20 => self.rest().await,
            21 if !self.older.is_empty() => self.upgrade_one().await,
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

    /// The end: all run, with the same binary.
    async fn conclude(&mut self) -> TestResult {
        self.relent().await?;
        self.upgrade_all().await
    }

    async fn undo(&mut self, fault: Lasting) -> TestResult {
        match fault {
            Lasting::Down(down) => self.start_again(down).await,
            Lasting::Sick(node) => self.recover(node).await,
            Lasting::Doomed(node) => self.doomed_again(node).await,
            Lasting::Full(node) => self.make_space(node).await,
            Lasting::Paused(node) => {
                self.cluster.go_on(node);
                self.note(format!("{} goes on", name(node)));
                let is_full =
                    |fault: &Lasting| matches!(fault, Lasting::Full(full) if *full == node);
                if self.been_full.contains(&node) && !self.lasting.iter().any(is_full) {
                    // Its disk got space while it stood still.
                    return self.after_want_of_space(node).await;
                }
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
        self.drift(node);
        self.boot(down).await?;
        self.note(format!("{} starts again", name(node)));
        Ok(())
    }

    /// A node that leads, or would say so; none that stands still, which nothing can be asked of.
    fn leader(&self) -> Option<TestNode> {
        let stands = |place: &TestNode| {
            let mut lasting = self.lasting.iter();
            lasting.any(|fault| matches!(fault, Lasting::Paused(paused) if paused == place))
        };
        let running = self.cluster.running().into_iter();
        let mut running = running.filter(|(place, _)| !stands(place));
        running.find_map(|(place, node)| node.core().raft()?.is_leader().then_some(place))
    }

    /// Leaves the cluster alone for a while.
    async fn rest(&mut self) -> TestResult {
        if !world::is_simulated() {
            return Ok(());
        }
        self.relent().await?;
        self.note(format!("all is well for {REST:?}"));
        self.rests_until = Instant::now() + REST;
        Ok(())
    }

    fn rests(&self) -> bool {
        Instant::now() < self.rests_until
    }
}

/// Does harm until told to stop; the harm is undone then.
pub(super) async fn torment<S: Service>(
    mut nemesis: Nemesis<S>,
    pace: Pace<impl Fn() -> usize>,
    is_over: impl Fn() -> bool,
) -> (Done, TestResult) {
    /// A fault waits for so many calls, or for this, in case none get through.
    const LONGEST_WAIT: Duration = Duration::from_millis(800);
    let lookout = nemesis.lookout.clone();
    let mut number = 0;
    let result = async {
        while !is_over() {
            let since = Instant::now();
            let (scripted, next) = match &pace {
                Pace::Calls { made, every } => (None, made().saturating_add(*every)),
                Pace::Script(script) => {
                    let next = script.acts.range(number..).next();
                    number = next.map_or(number, |(number, _)| *number);
                    (next.map(|(_, act)| *act), 0)
                }
            };
            let waits = |nemesis: &Nemesis<S>| match &pace {
                Pace::Calls { made, .. } => {
                    nemesis.rests() || (made() < next && since.elapsed() < LONGEST_WAIT)
                }
                Pace::Script(_) => scripted.is_none_or(|act| nemesis.start.elapsed() < act.at),
            };
            while waits(&nemesis) && !is_over() {
                nemesis.look();
                nemesis.nobody_stopped_by_itself()?;
                tokio::time::sleep(LOOK_EVERY).await;
            }
            // What comes next may start it again.
            nemesis.nobody_stopped_by_itself()?;
            if is_over() {
                break;
            }
            lookout.during(nemesis.act(number, scripted)).await?;
            number += 1;
        }
        lookout.during(nemesis.conclude()).await?;
        nemesis.nobody_stopped_by_itself()
    };
    let result = result.await;
    let Nemesis { events, acts, .. } = nemesis;
    (Done { events, acts }, result)
}

fn one_of(rng: &mut Rng, nodes: &[TestNode]) -> Option<TestNode> {
    let count = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
    (count > 0).then(|| nodes[below(rng, count) as usize])
}

fn name(node: TestNode) -> String {
    format!("node {}", node.0)
}
