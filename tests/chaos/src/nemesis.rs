//! Which fault comes when, and how each begins and ends. Several are under way at once.

mod paths;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tests::Chance;
use tests::netns::Path;

use crate::cluster::{Cluster, Control};
use crate::fault::Fault;
use crate::history::Recording;
use crate::tools::Tools;

/// Faults under way at once, at most.
const MAX_ACTIVE: usize = 4;
/// Between the beginnings of two faults, at most.
const MAX_PAUSE_MS: u64 = 1_800;
/// From one calm to the next.
const CALM_EVERY: Duration = Duration::from_secs(20);
/// After a calm has begun, a write has to be acknowledged within this time.
const RECOVERY: Duration = Duration::from_secs(60);
/// Writes that end a calm.
const CALM_WRITES: u64 = 20;
/// How long a calm waits until all members vote, so that a disk may be lost.
const WHOLE: Duration = Duration::from_secs(60);
/// How long a node may take to stop after a sync has failed.
const STOPS_WITHIN: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A fault under way.
struct Active {
    fault: Fault,
    nodes: Vec<usize>,
    /// For a fault of the network: what happens on which way.
    paths: Vec<(usize, usize, Path)>,
    began: Duration,
    until: Instant,
}

/// A fault that is over.
pub(crate) struct Done {
    pub(crate) fault: Fault,
    pub(crate) began: Duration,
    pub(crate) ended: Duration,
}

/// What the faults came to.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) done: Vec<Done>,
    /// Faults that nothing came of: no sync was made, or no clock read.
    pub(crate) idle: BTreeMap<Fault, u64>,
    /// Nodes that ended by themselves under a fault that allows it.
    pub(crate) stopped: BTreeMap<Fault, u64>,
    /// From the end of all faults to the next acknowledged write: how long it took.
    pub(crate) recoveries: Vec<Duration>,
    /// What must not happen.
    pub(crate) findings: Vec<String>,
}

pub(crate) struct Nemesis<'a> {
    cluster: &'a mut Cluster,
    tools: &'a Tools,
    recording: &'a Recording,
    faults: Vec<Fault>,
    chance: Chance,
    active: Vec<Active>,
    /// The last fault of each node that allows it to end late, and when that was over.
    excuses: BTreeMap<usize, (Fault, Instant)>,
    begun: BTreeMap<Fault, u64>,
    /// Whether all members vote, as far as is known.
    is_whole: bool,
    pub(crate) outcome: Outcome,
}

impl<'a> Nemesis<'a> {
    pub(crate) fn new(
        cluster: &'a mut Cluster,
        tools: &'a Tools,
        recording: &'a Recording,
        faults: &[Fault],
        seed: u64,
    ) -> Self {
        let able = faults.iter().filter(|fault| !tools.lacks(**fault));
        let faults: Vec<Fault> = able.copied().collect();
        Nemesis {
            cluster,
            tools,
            recording,
            begun: faults.iter().map(|fault| (*fault, 0)).collect(),
            faults,
            chance: Chance::of(seed),
            active: Vec::new(),
            excuses: BTreeMap::new(),
            is_whole: true,
            outcome: Outcome::default(),
        }
    }

    /// Disturbs the cluster for this time, then ends all faults and waits until it serves.
    pub(crate) fn run(mut self, length: Duration, tell: &mut dyn FnMut(&str)) -> Outcome {
        let end = Instant::now() + length;
        let mut run = || -> io::Result<()> {
            let mut next = Instant::now();
            let mut calm = Instant::now() + CALM_EVERY;
            // What has gone wrong is best looked at before more happens.
            while Instant::now() < end && self.outcome.findings.is_empty() {
                self.look_for_ended()?;
                self.end_due(Instant::now())?;
                if Instant::now() >= calm {
                    self.calm()?;
                    calm = Instant::now() + CALM_EVERY;
                } else if Instant::now() >= next && self.active.len() < MAX_ACTIVE {
                    self.begin_any()?;
                    let pause = self.chance.below(MAX_PAUSE_MS);
                    next = Instant::now() + Duration::from_millis(pause);
                }
                tell(&self.under_way());
                std::thread::sleep(LOOK_EVERY);
            }
            self.calm()
        };
        if let Err(error) = run() {
            let text = format!("the harness itself failed: {error}");
            self.outcome.findings.push(text);
        }
        self.outcome
    }

    /// The faults under way, for people.
    fn under_way(&self) -> String {
        let all = self.active.iter().map(|active| {
            let nodes: Vec<_> = active.nodes.iter().map(ToString::to_string).collect();
            format!("{} {}", active.fault, nodes.join(","))
        });
        let all: Vec<_> = all.collect();
        all.join("; ")
    }

    /// Takes note of nodes that have ended by themselves.
    fn look_for_ended(&mut self) -> io::Result<()> {
        for node in 0..self.cluster.len() {
            if !self.cluster.has_ended(node)? {
                continue;
            }
            let mut active = self.active.iter();
            let excuse = active
                .find(|active| active.nodes.contains(&node) && active.fault.may_end_the_node());
            if let Some(active) = excuse {
                *self.outcome.stopped.entry(active.fault).or_default() += 1;
                continue;
            }
            // It may have stopped for a fault that is over by now.
            let late = self.excuses.get(&node);
            let late = late.filter(|(_, ended)| ended.elapsed() < STOPS_WITHIN);
            if let Some((fault, _)) = late {
                *self.outcome.stopped.entry(*fault).or_default() += 1;
                if !self.taken().contains(&node) {
                    self.cluster.restart(node)?;
                }
                continue;
            }
            let words = self.cluster.last_words(node);
            let at = self.recording.start.elapsed();
            self.outcome.findings.push(format!(
                "node {node} ended by itself at {at:.1?}, without a fault that allows it:\n    {words}"
            ));
        }
        Ok(())
    }

    /// Ends all faults, and waits until writes are acknowledged.
    fn calm(&mut self) -> io::Result<()> {
        while let Some(active) = self.active.pop() {
            self.end(active)?;
        }
        let since = Instant::now();
        let writes = || self.recording.acknowledged.load(Ordering::Relaxed);
        let before = writes();
        let mut first = None;
        loop {
            self.look_for_ended()?;
            let more = self.recording.acknowledged.load(Ordering::Relaxed) - before;
            if more > 0 && first.is_none() {
                first = Some(since.elapsed());
            }
            if more >= CALM_WRITES {
                break;
            }
            if since.elapsed() > RECOVERY {
                let views = self.cluster.views();
                self.outcome.findings.push(format!(
                    "{RECOVERY:?} after all faults had ended, {more} writes were acknowledged: \
                     {views:?}"
                ));
                break;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        self.outcome.recoveries.extend(first);
        if self.faults.contains(&Fault::LoseDisk) {
            self.wait_until_whole()?;
        }
        Ok(())
    }

    fn wait_until_whole(&mut self) -> io::Result<()> {
        let since = Instant::now();
        let nodes = self.cluster.len();
        loop {
            let views = self.cluster.views();
            let whole = |view: &crate::cluster::View| {
                view.leads && view.members == nodes && view.voters == nodes
            };
            self.is_whole = views.iter().flatten().any(whole) && views.iter().all(Option::is_some);
            if self.is_whole || since.elapsed() > WHOLE {
                return Ok(());
            }
            self.look_for_ended()?;
            std::thread::sleep(10 * LOOK_EVERY);
        }
    }

    fn end_due(&mut self, now: Instant) -> io::Result<()> {
        while let Some(due) = self.active.iter().position(|active| active.until <= now) {
            let active = self.active.remove(due);
            self.end(active)?;
        }
        Ok(())
    }

    /// Nodes that a fault has taken.
    fn taken(&self) -> BTreeSet<usize> {
        let taking = self.active.iter();
        let taking = taking.filter(|active| active.fault.takes_a_node());
        taking.flat_map(|active| active.nodes.clone()).collect()
    }

    /// A node that is up and free; often the leader.
    fn victim(&mut self) -> Option<usize> {
        let taken = self.taken();
        if taken.len() >= (self.cluster.len() - 1) / 2 {
            return None;
        }
        let leader = (self.chance.below(5) < 2)
            .then(|| self.cluster.leader())
            .flatten();
        let free = (0..self.cluster.len())
            .filter(|node| !taken.contains(node) && self.cluster.is_up(*node));
        let free: Vec<_> = free.collect();
        match leader {
            Some(leader) if free.contains(&leader) => Some(leader),
            _ => self.one_of(&free),
        }
    }

    fn one_of(&mut self, nodes: &[usize]) -> Option<usize> {
        let count = nodes.len() as u64;
        (count > 0).then(|| nodes[self.chance.below(count) as usize])
    }

    /// Begins some fault: one that has not come yet, and in half of the cases one that has come least
    /// often.
    fn begin_any(&mut self) -> io::Result<()> {
        let victim = self.victim();
        let mut able = self.faults.clone();
        able.retain(|fault| match fault {
            Fault::LoseDisk => self.is_whole && self.taken().is_empty(),
            // It would end what other faults need the node for.
            Fault::KillAll | Fault::PowerCutAll => self.taken().is_empty(),
            fault => victim.is_some() || !fault.takes_a_node(),
        });
        let least = able.iter().map(|fault| self.begun[fault]).min();
        // The moments at which a disk may be lost are few.
        let is_moment =
            able.contains(&Fault::LoseDisk) && least == Some(self.begun[&Fault::LoseDisk]);
        if is_moment {
            able = vec![Fault::LoseDisk];
        } else if least == Some(0) || self.chance.below(2) == 0 {
            able.retain(|fault| Some(self.begun[fault]) == least);
        }
        let count = able.len() as u64;
        if count == 0 {
            return Ok(());
        }
        let fault = able[self.chance.below(count) as usize];
        let nodes = if fault.takes_all() {
            (0..self.cluster.len()).collect()
        } else {
            let victims = if fault.takes_a_node() {
                victim
            } else {
                let all: Vec<_> = (0..self.cluster.len()).collect();
                let leader = (self.chance.below(5) < 2).then(|| self.cluster.leader());
                leader.flatten().or_else(|| self.one_of(&all))
            };
            match victims {
                Some(victim) => vec![victim],
                None => return Ok(()),
            }
        };
        self.begin(fault, nodes)
    }

    fn begin(&mut self, fault: Fault, mut nodes: Vec<usize>) -> io::Result<()> {
        let (least, most) = fault.seconds();
        let part = self.chance.below(1_000) as f64 / 1_000.0;
        let length = Duration::from_secs_f64(least + (most - least) * part);
        let began = self.recording.start.elapsed();
        let first = nodes[0];
        let mut paths = Vec::new();
        match fault {
            Fault::Kill | Fault::KillAll => self.cluster.kill(&nodes)?,
            Fault::LoseDisk => {
                self.is_whole = false;
                self.cluster.kill(&nodes)?;
                self.cluster.disk(first).wipe()?;
            }
            Fault::Stop => self.cluster.signal(first, Signal::STOP)?,
            Fault::FullDisk => self.cluster.disk(first).fill()?,
            Fault::FailSync => {
                self.cluster.set(first, Control::Failed, 0)?;
                self.cluster.set(first, Control::FailSync, 1)?;
            }
            Fault::SlowSync => {
                let pause = 20 + self.chance.below(300);
                let pause = i64::try_from(pause).unwrap_or(i64::MAX);
                self.cluster.set(first, Control::Slowed, 0)?;
                self.cluster.set(first, Control::SlowSyncMs, pause)?;
            }
            Fault::WallClock => {
                let ahead = self.jump_ms();
                self.cluster.set(first, Control::Moved, 0)?;
                self.cluster.set(first, Control::WallMs, ahead)?;
            }
            Fault::PowerCut | Fault::PowerCutAll => {
                if let Some(power) = &self.tools.power {
                    for node in &nodes {
                        self.cluster.disk(*node).cut_power(power)?;
                    }
                }
                // Now and then the node lives for a moment, and sees its disk fail.
                if self.chance.below(2) == 0 {
                    self.cluster.kill(&nodes)?;
                }
            }
            Fault::Reset => {
                if let Some(network) = &self.cluster.network {
                    network.reset_connections(first, 15_000)?;
                }
            }
            Fault::Cut | Fault::OneWay | Fault::Split | Fault::Loss | Fault::Delay => {
                (nodes, paths) = self.paths(fault, first);
            }
        }
        *self.begun.entry(fault).or_default() += 1;
        self.active.push(Active {
            fault,
            nodes,
            paths,
            began,
            until: Instant::now() + length,
        });
        self.set_paths();
        Ok(())
    }

    /// Seconds to days, forth or back.
    fn jump_ms(&mut self) -> i64 {
        let seconds = 1_i64 << self.chance.below(18);
        match self.chance.below(2) {
            0 => 1_000 * seconds,
            _ => -1_000 * seconds,
        }
    }

    fn end(&mut self, active: Active) -> io::Result<()> {
        let first = active.nodes[0];
        match active.fault {
            Fault::Stop => self.cluster.signal(first, Signal::CONT)?,
            Fault::FullDisk => self.cluster.disk(first).free()?,
            Fault::FailSync => self.end_failing_syncs(first)?,
            Fault::SlowSync => self.cluster.set(first, Control::SlowSyncMs, 0)?,
            Fault::WallClock => self.cluster.set(first, Control::WallMs, 0)?,
            Fault::PowerCut | Fault::PowerCutAll => {
                self.cluster.kill(&active.nodes)?;
                for node in &active.nodes {
                    self.cluster.disk(*node).power_up()?;
                }
            }
            _ => {}
        }
        self.set_paths();
        if active.fault.may_end_the_node_late() {
            let ended = (active.fault, Instant::now());
            self.excuses
                .extend(active.nodes.iter().map(|node| (*node, ended)));
        }
        if active.fault.takes_a_node() {
            let taken = self.taken();
            for node in active.nodes.iter().filter(|node| !taken.contains(node)) {
                self.cluster.restart(*node)?;
            }
        }
        let proof = match active.fault {
            Fault::FailSync => Some(Control::Failed),
            Fault::SlowSync => Some(Control::Slowed),
            Fault::WallClock => Some(Control::Moved),
            _ => None,
        };
        if let Some(proof) = proof
            && self.cluster.get(first, proof)? == 0
        {
            *self.outcome.idle.entry(active.fault).or_default() += 1;
            return Ok(());
        }
        self.outcome.done.push(Done {
            fault: active.fault,
            began: active.began,
            ended: self.recording.start.elapsed(),
        });
        Ok(())
    }

    /// A node whose sync has failed stops by itself, and must not go on as if nothing had been.
    fn end_failing_syncs(&mut self, node: usize) -> io::Result<()> {
        let since = Instant::now();
        let mut has_ended = !self.cluster.is_up(node);
        while !has_ended && self.cluster.get(node, Control::Failed)? > 0 {
            has_ended = self.cluster.has_ended(node)?;
            if has_ended {
                *self.outcome.stopped.entry(Fault::FailSync).or_default() += 1;
            } else if since.elapsed() > STOPS_WITHIN {
                self.outcome.findings.push(format!(
                    "node {node} is still up {STOPS_WITHIN:?} after a sync has failed:\n    {}",
                    self.cluster.last_words(node)
                ));
                self.cluster.kill(&[node])?;
                break;
            } else {
                std::thread::sleep(LOOK_EVERY);
            }
        }
        self.cluster.set(node, Control::FailSync, 0)
    }
}
