//! One seed: a cluster under faults, its clients, and the verdict.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::invent::InventError;
#[cfg(test)]
use super::nemesis::Event;
use super::nemesis::{CALM, Disks as DiskOf, Forming, Lookout, Nemesis, Pace, Sights, torment};
use super::record::Record;
use super::script::Script;
use super::settled::Settling;
use super::story::Story;
use super::verdict::{Evidence, Final, judge};
use super::violation::{Promise, Violation};
use super::workload::Workload;
use crate::config::Seams;
use crate::context::Rng;
use crate::machine::Watch;
use crate::service::Service;
use crate::settings::Settings;
use crate::storage::fs::faults::FaultFs;
use crate::testing::cluster::{Cluster, Hosts, TestNode};
use crate::testing::simulation::{Network, simulate};
use crate::testing::{TestError, TestResult};

/// Streams of random numbers; those of faults and clients are lower ones.
const FORMATION: u32 = u32::MAX - 3;
const SETTLING: u32 = u32::MAX - 6;
/// Threads of the nodes and clients.
const WORKER_THREADS: usize = 2;
/// As a node has them that is told nothing.
const HEARTBEAT: Duration = Duration::from_millis(100);
const ELECTION_MIN: Duration = Duration::from_millis(300);
const ELECTION_MAX: Duration = Duration::from_millis(600);
/// Small, so that nodes come to need a snapshot of another one.
const KEEP_LOG_ENTRIES: u64 = 16;
/// Log entries after which a snapshot is written.
const SNAPSHOT_EVERY: u64 = 64;
/// So small that a check goes through many.
const SEGMENT_BYTES: u64 = 64 << 10;
/// Of so many simulated clusters one forms under faults, and of so many one while discovery shows
/// others to each node.
const ROUGH_ONE_IN: u64 = 2;
const SIGHTS_ONE_IN: u64 = 4;
/// What a cluster begins with depends on which of its nodes comes first; no other may obey its own.
const SESSION_EXPIRY: Duration = Duration::from_secs(3);
const DEAD_AFTER: Duration = CALM;
const STEP_OF_SETTINGS: Duration = Duration::from_millis(500);

/// How much happens in a check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) nodes: usize,
    pub(super) clients: usize,
    pub(super) extent: Extent,
    /// What is in the binaries of the nodes before they are upgraded, if not the service itself.
    pub(super) before: Option<Hosts>,
    /// What the nodes do wrong.
    #[cfg(feature = "planted")]
    pub(super) planted: Option<crate::planted::Bug>,
}

/// When the clients of a check are done.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extent {
    /// After so many calls, with so many faults between them.
    Calls { calls: usize, faults: usize },
    /// After so long.
    Time(Duration),
}

/// What came of one seed.
pub(super) struct Played {
    /// If something was broken.
    pub(super) story: Option<Story>,
    pub(super) calls: usize,
    pub(super) faults: usize,
    /// What of the seed was played.
    pub(super) script: Script,
    /// All that happened, line by line.
    #[cfg(test)]
    trace: String,
    /// How often raft's tasks were run one after the other.
    #[cfg(test)]
    relays: u64,
    /// How long it took, by its own clock.
    pub(super) lasted: Duration,
}

/// Runs one seed on real sockets, on a runtime of its own, whatever runtime the test has.
pub(super) async fn on_sockets<S: Service>(seed: u64, size: Size) -> TestResult<Played> {
    on_a_thread::<S>(seed, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKER_THREADS)
            .enable_all()
            .build()?;
        runtime.block_on(run::<S>(seed, size, None, None))
    })
    .await
}

/// Runs one seed in a simulation, or what a script says of it.
pub(super) async fn simulated<S: Service>(
    seed: u64,
    size: Size,
    script: Option<Script>,
) -> TestResult<Played> {
    on_a_thread::<S>(seed, move || {
        #[cfg(feature = "planted")]
        crate::planted::chosen::plant(size.planted);
        simulate(seed, |network| run::<S>(seed, size, Some(network), script))
    })
    .await
}

async fn on_a_thread<S: Service>(
    seed: u64,
    play: impl FnOnce() -> TestResult<Played> + Send + 'static,
) -> TestResult<Played> {
    let (done, result) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name(format!("check-{}-{seed}", S::NAME))
        .spawn(move || drop(done.send(play())))?;
    match result.await {
        Ok(result) => result,
        Err(_) => Err(TestError::of_text(format!(
            "the check of {} panicked with seed {seed}; see above",
            S::NAME
        ))),
    }
}

/// The disks of the nodes: in memory, so that they can lose what was not synced.
#[derive(Clone, Default)]
struct Disks(Arc<Mutex<BTreeMap<TestNode, FaultFs>>>);

impl Disks {
    fn of(&self, node: TestNode) -> FaultFs {
        let mut disks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        disks.entry(node).or_default().clone()
    }
}

async fn run<S: Service>(
    seed: u64,
    size: Size,
    network: Option<Network>,
    script: Option<Script>,
) -> TestResult<Played> {
    let is_simulated = network.is_some();
    let script = script.map(Arc::new);
    let record = Record::new(S::NAME);
    let disks = Disks::default();
    let (watched, own) = (Arc::clone(&record), disks.clone());
    let is_rough = match &script {
        Some(script) => script.is_rough,
        None => is_simulated && seed.is_multiple_of(ROUGH_ONE_IN),
    };
    let sights = (is_rough && seed.is_multiple_of(SIGHTS_ONE_IN)).then(Sights::default);
    let seen = sights.clone();
    // A majority: any two sets that may form a cluster overlap.
    let expect = if is_rough {
        size.nodes / 2 + 1
    } else {
        size.nodes
    };
    let cluster = Cluster::<S>::boot_seamed(
        size.nodes,
        network,
        size.before,
        Box::new(move |node, seams, config| {
            let config = if is_simulated {
                config.settings(settings(node)).dead_after(dead_after(node))
            } else {
                config
            };
            let config = match &seen {
                Some(sights) if node.0 < size.nodes => config.discovery(sights.of(node)),
                _ => config,
            };
            config
                .expect_nodes(expect)
                .snapshot_every(SNAPSHOT_EVERY)
                .keep_log_entries(KEEP_LOG_ENTRIES)
                .heartbeat(HEARTBEAT)
                .election_timeout(ELECTION_MIN..ELECTION_MAX)
                .seams(Seams {
                    fs: Arc::new(own.of(node).of_this_life()),
                    segment_bytes: Some(SEGMENT_BYTES),
                    watch: Watch::by(watched.witness(node.0)),
                    ..seams
                })
        }),
    )
    .await?;
    let disk_of: DiskOf = Arc::new(move |node| disks.of(node));
    let lookout = Lookout::new(cluster.clone(), Arc::clone(&record));
    let formed = if is_rough {
        let rng = Rng::new(seed, FORMATION);
        let forming = Forming::new(&cluster, &disk_of, sights, rng, size.nodes);
        forming.torment(&lookout).await?
    } else {
        Vec::new()
    };
    if !record.differs() {
        cluster.leader().await?;
    }
    let workload = Workload::new(size.extent, script.clone());
    let over = Arc::new(AtomicBool::new(false));
    let nemesis = Nemesis::new(
        cluster.clone(),
        Arc::clone(&record),
        lookout.clone(),
        disk_of,
        seed,
        workload.start,
    );
    let nemesis = if size.before.is_some() {
        nemesis.upgrading(size.nodes)
    } else {
        nemesis
    };
    let (making, differing, ended) = (Arc::clone(&workload), Arc::clone(&record), over.clone());
    let tormenting = tokio::spawn(async move {
        let every = match size.extent {
            Extent::Calls { calls, faults } => (calls / (faults + 1)).max(1),
            Extent::Time(_) => usize::MAX,
        };
        let pace = match script {
            Some(script) => Pace::Script(script),
            None => Pace::Calls {
                made: || making.history.len(),
                every,
            },
        };
        let until = || {
            if differing.differs() {
                making.stop();
            }
            ended.load(Ordering::Relaxed)
        };
        let tormented = torment(nemesis, pace, until).await;
        making.stop();
        tormented
    });
    let dialers: Vec<_> = (0..size.clients)
        .map(|client| cluster.dialer(&format!("client-{client}")))
        .collect();
    let addresses: Vec<_> = (0..size.nodes)
        .map(|node| cluster.address(TestNode(node)))
        .collect();
    let called = workload.run::<S>(seed, &dialers, &addresses).await;
    over.store(true, Ordering::Relaxed);
    let done_at = workload.start.elapsed();
    let (mut done, tormented) = tormenting.await?;
    done.events.splice(0..0, formed);
    let settled = match &tormented {
        Ok(()) if !record.differs() => {
            let settling = Settling {
                cluster: &cluster,
                workload: &workload,
                client: size.clients,
                is_simulated,
                is_upgraded: size.before.is_some(),
            };
            lookout
                .during(settling.settle(Rng::new(seed, SETTLING)))
                .await
        }
        _ => Ok(()),
    };
    let settled = settled.and_then(|()| lookout.states_were_equal());
    let finals = finals(&cluster);
    cluster.stop_all().await;
    called.map_err(|error: InventError| TestError::of_text(error.to_string()))?;

    let (log, difference) = record.read();
    let evidence = Evidence {
        operations: workload.history.take(),
        log,
        difference,
        finals,
    };
    let failed = |promise, result: TestResult| match result {
        Ok(()) => Ok(()),
        Err(error) => Err(Violation::of(promise, error.to_string(), [])),
    };
    let judged = judge::<S>(&evidence)
        .and_then(|()| failed(Promise::Invariants, tormented))
        .and_then(|()| failed(Promise::Settles, settled));
    let calls = evidence.operations.iter();
    let script = Script {
        calls: calls
            .filter_map(|call| Some((call.id?, call.began)))
            .collect(),
        acts: done.acts,
        is_rough,
        until: done_at,
    };
    Ok(Played {
        calls: evidence.operations.len(),
        faults: done.events.len(),
        script,
        #[cfg(test)]
        trace: trace(&evidence, &done.events),
        #[cfg(test)]
        relays: crate::raft::relay::begun(),
        lasted: workload.start.elapsed(),
        story: judged
            .err()
            .map(|violation| Story::new::<S>(seed, evidence, done.events, violation)),
    })
}

/// Each node's own: which of them holds is decided by whoever leads first.
fn settings(node: TestNode) -> Settings {
    Settings {
        session_expiry_ms: whole_ms(later(SESSION_EXPIRY, node)),
        ..Settings::default()
    }
}

fn dead_after(node: TestNode) -> Duration {
    later(DEAD_AFTER, node)
}

fn later(time: Duration, node: TestNode) -> Duration {
    time + STEP_OF_SETTINGS * u32::try_from(node.0).unwrap_or_default()
}

fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// All that happened: faults, calls as they ended, the log.
#[cfg(test)]
fn trace(evidence: &Evidence, events: &[Event]) -> String {
    use std::fmt::Write as _;

    let mut trace = String::new();
    for Event { at, text } in events {
        let _ = writeln!(trace, "{at:?} {text}");
    }
    for call in &evidence.operations {
        let (began, ended, result) = (call.began, call.ended, &call.result);
        let _ = writeln!(trace, "{began:?} {ended:?} {} {result:?}", call.text);
    }
    for (index, entry) in &evidence.log {
        let _ = writeln!(trace, "{index} {entry:?}");
    }
    trace
}

fn finals<S: Service>(cluster: &Cluster<S>) -> Vec<Final> {
    let saved = cluster.running().into_iter().filter_map(|(place, node)| {
        let (index, state) = node.core().raft()?.machine().saved(S::NAME).ok()?;
        Some(Final {
            node: place.0,
            index,
            state,
        })
    });
    saved.collect()
}

#[cfg(all(test, tokio_unstable))]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::raft_service;
    use crate::testing::simulation::with_relays;

    #[raft_service(crate = crate)]
    #[derive(Default, Serialize, Deserialize)]
    struct Tally {
        votes: BTreeMap<u8, u64>,
    }

    #[raft_service(crate = crate)]
    impl Tally {
        fn vote(&mut self, what: u8) -> u64 {
            let votes = self.votes.entry(what).or_default();
            *votes += 1;
            *votes
        }

        fn all(&self) -> BTreeMap<u8, u64> {
            self.votes.clone()
        }
    }

    const SIZE: Size = Size {
        nodes: 3,
        clients: 3,
        extent: Extent::Calls {
            calls: 200,
            faults: 10,
        },
        before: None,
        #[cfg(feature = "planted")]
        planted: None,
    };

    /// Plays a seed twice, and compares.
    async fn plays_the_same_again(seed: u64, size: Size) {
        let play = || async move {
            let played = simulated::<Tally>(seed, size, None).await;
            played.unwrap_or_else(|error| panic!("{error}"))
        };
        let (first, second) = (play().await, play().await);
        let mut lines = first.trace.lines().zip(second.trace.lines());
        if let Some((first, second)) = lines.find(|(first, second)| first != second) {
            panic!("seed {seed}:\n{first}\n{second}");
        }
        assert_eq!(first.trace.len(), second.trace.len(), "seed {seed}");
        assert_eq!(first.lasted, second.lasted);
        assert_eq!(first.relays, second.relays);
        assert_eq!(first.relays > 0, with_relays(seed), "seed {seed}");
        assert!(first.story.is_none());
    }

    #[tokio::test]
    async fn one_seed_plays_the_same_again() {
        for seed in 1..=4 {
            plays_the_same_again(seed, SIZE).await;
        }
        // Both ways are among them.
        assert!((1..=4).any(with_relays) && !(1..=4).all(with_relays));
    }

    #[tokio::test]
    async fn half_a_minute_of_five_nodes_plays_the_same_again() {
        let size = Size {
            nodes: 5,
            extent: Extent::Time(Duration::from_secs(30)),
            ..SIZE
        };
        for seed in 5..=6 {
            plays_the_same_again(seed, size).await;
        }
    }
}
