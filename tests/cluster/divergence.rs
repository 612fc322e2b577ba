//! Replicas whose states differ, because a command does not do the same everywhere.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use braft::testing::{Cluster, TestNode, TestResult, run_test};
use braft::{Context, ErrorKind, Settings, Status, TooManyWakes, raft_service};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::services::Counter;
use crate::snapshots::{Closed, Gate, until};

/// Log entries after which states are compared.
const DIGEST_EVERY: u64 = 60;

/// Which of the next replicas to carry out `draw` does something else; 0 is none of them.
static ODD: AtomicUsize = AtomicUsize::new(0);

/// Hold up whoever reads a state from a snapshot: one for each test.
static READING: Gate = Gate::new();
static READING_ASIDE: Gate = Gate::new();

/// A part of a state that is read only when the gate is open: that aside, or the other.
#[derive(Default)]
struct Held<const ASIDE: bool = false>;

impl<const ASIDE: bool> Serialize for Held<ASIDE> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }
}

impl<'de, const ASIDE: bool> Deserialize<'de> for Held<ASIDE> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if ASIDE { &READING_ASIDE } else { &READING }.pass();
        bool::deserialize(deserializer).map(|_| Held)
    }
}

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Odd {
    held: Held,
    value: u64,
    adds: u64,
}

#[raft_service]
impl Odd {
    /// Not the same on every replica.
    fn draw(&mut self) {
        let turn = ODD.load(Ordering::Relaxed);
        let is_odd = turn > 0 && ODD.fetch_sub(1, Ordering::Relaxed) == 1;
        self.value += if is_odd { 1000 } else { 1 };
    }

    fn add(&mut self) -> u64 {
        self.adds += 1;
        self.adds
    }

    fn value(&self) -> u64 {
        self.value
    }
}

fn settings() -> Settings {
    Settings {
        digest_every: DIGEST_EVERY,
        ..Settings::default()
    }
}

/// The values of all replicas.
async fn values(cluster: &Cluster<Odd>, nodes: usize) -> TestResult<Vec<u64>> {
    let mut values = Vec::new();
    for place in (0..nodes).map(TestNode) {
        values.push(cluster.client_at(place)?.value().local().await?);
    }
    Ok(values)
}

fn status<S: braft::Service>(cluster: &Cluster<S>, place: TestNode) -> Status {
    cluster
        .node(place)
        .map(|node| node.status())
        .unwrap_or_default()
}

/// Has one of three replicas go its own way: the one that is the `turn`th to carry out a command.
async fn make_odd(cluster: &Cluster<Odd>, turn: usize) -> TestResult<TestNode> {
    let before = cluster.client().value().await?;
    cluster.converged().await?;
    ODD.store(turn, Ordering::Relaxed);
    cluster.client().draw().await?;
    loop {
        let values = values(cluster, 3).await?;
        if values.iter().all(|value| *value > before) {
            let odd = values.iter().position(|value| *value >= before + 1000);
            return Ok(TestNode(odd.ok_or("nobody was odd")?));
        }
    }
}

/// It serves nothing, names what differs, and the others go on.
async fn check_quarantine(cluster: &Cluster<Odd>, odd: TestNode, led: bool) -> TestResult {
    let odd_client = cluster.client_at(odd)?;
    let others = cluster.client();
    while status(cluster, odd).diverged.is_none() {
        // Towards the next mark.
        others.add().await?;
    }
    let status = status(cluster, odd);
    let why = status.diverged.ok_or("it is well again")?;
    assert!(
        why.contains("service Odd") && why.contains("log index"),
        "{why}"
    );
    assert_eq!(status.error.as_ref(), Some(&why));
    let read = odd_client.value().local();
    let read = read.deadline(Duration::from_millis(300)).await;
    let error = read.err().ok_or("a diverged node answered a local read")?;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("diverged"), "{error}");
    // Through the leader it may be asked like any other.
    let adds = others.add().await?;
    assert_eq!(odd_client.add().await?, adds + 1);
    let leader = cluster.leader().await?;
    assert_ne!(leader, odd, "whether it led before: {led}");
    let id = cluster.id(odd)?;
    until(|| {
        let divergences = cluster.node(leader).map(|node| node.status().divergences);
        divergences.is_ok_and(|lines| lines.iter().any(|line| line.contains(&id)))
    })
    .await;
    for place in (0..3).map(TestNode).filter(|place| *place != odd) {
        assert_eq!(self::status(cluster, place).diverged, None);
        assert!(cluster.client_at(place)?.value().local().await? < 1000);
    }
    Ok(())
}

#[test]
fn a_replica_that_differs_serves_nothing_until_it_is_made_anew_also_if_it_led() {
    run_test(1, "divergence", |_: Cluster<Odd>| async {
        let config = |config: braft::Config| config.settings(settings());
        let cluster = Cluster::<Odd>::start_with(3, config).await?;
        cluster.all_vote().await?;
        cluster.client().add().await?;
        // Mostly the leader is the first.
        let (mut leaders, mut followers) = (0, 0);
        while leaders == 0 || followers == 0 {
            let turn = if leaders == 0 { 1 } else { 2 };
            let leader = cluster.leader().await?;
            let odd = make_odd(&cluster, turn).await?;
            let led = odd == leader;
            *(if led { &mut leaders } else { &mut followers }) += 1;
            let closed = Closed::new(&READING);
            check_quarantine(&cluster, odd, led).await?;
            drop(closed);
            until(|| {
                (0..3).all(|place| {
                    let status = status(&cluster, TestNode(place));
                    status.diverged.is_none() && status.divergences.is_empty()
                })
            })
            .await;
            cluster.converged().await?;
            assert!(values(&cluster, 3).await?.iter().all(|value| *value < 1000));
        }
        // What was put right stays right, and is noticed to be.
        cluster.stop_all().await;
        cluster.start_all().await?;
        cluster.converged().await?;
        let client = cluster.client();
        for _ in 0..2 * DIGEST_EVERY {
            client.add().await?;
        }
        cluster.converged().await?;
        for place in (0..3).map(TestNode) {
            let status = status(&cluster, place);
            assert_eq!((status.diverged, status.divergences), (None, Vec::new()));
        }
        cluster.stop_all().await;
        Ok(())
    });
}

/// Every replica its own way.
static NEXT: AtomicUsize = AtomicUsize::new(0);

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Wild {
    value: u64,
    adds: u64,
}

#[raft_service]
impl Wild {
    fn draw(&mut self) {
        self.value += NEXT.fetch_add(1, Ordering::Relaxed) as u64;
    }

    fn add(&mut self) -> u64 {
        self.adds += 1;
        self.adds
    }
}

#[test]
fn without_a_majority_there_is_an_alarm_and_nothing_is_made_anew() {
    run_test(1, "dispute", |_: Cluster<Wild>| async {
        let config = |config: braft::Config| config.settings(settings());
        let cluster = Cluster::<Wild>::start_with(3, config).await?;
        let wild = cluster.client();
        wild.draw().await?;
        for n in 1..=2 * DIGEST_EVERY {
            assert_eq!(wild.add().await?, n);
        }
        for place in (0..3).map(TestNode) {
            let node = cluster.node(place)?;
            until(|| !node.status().divergences.is_empty()).await;
            let status = node.status();
            let line = &status.divergences[0];
            assert!(
                line.contains("service Wild") && line.contains("no majority"),
                "{line}"
            );
            assert_eq!((status.diverged, status.halted), (None, None));
        }
        assert_eq!(wild.add().await?, 2 * DIGEST_EVERY + 1);
        cluster.stop_all().await;
        Ok(())
    });
}

#[test]
fn replicas_that_restart_fall_behind_and_join_are_not_taken_for_diverged() {
    run_test(1, "no false alarm", |_: Cluster<Counter>| async {
        const OFTEN: u64 = 5;
        let config = |config: braft::Config| {
            let settings = Settings {
                digest_every: OFTEN,
                ..Settings::default()
            };
            let config = config.settings(settings);
            config.snapshot_every(20).keep_log_entries(5)
        };
        let cluster = Cluster::<Counter>::start_with(3, config).await?;
        cluster.all_vote().await?;
        let client = cluster.client();
        let mut nodes = 3;
        let compared = |nodes: usize| -> Vec<u64> {
            let places = (0..nodes).map(TestNode);
            let all = places.filter_map(|place| cluster.node(place).ok());
            all.map(|node| {
                let status = node.status();
                assert_eq!((status.diverged, status.divergences), (None, Vec::new()));
                status.compared_index
            })
            .collect()
        };
        for round in 0..4 {
            let down = cluster.kill(TestNode(round % 3)).await?;
            // Far enough for the log that it lacks to be gone, every other time.
            for _ in 0..if round < 2 { 3 } else { 60 } {
                client.add(1).await??;
            }
            cluster.restart(down).await?;
            if round == 3 {
                cluster.add_node().await?;
                nodes += 1;
            }
            let before = compared(nodes).into_iter().max().unwrap_or(0);
            // All of them take part in further comparisons.
            while compared(nodes)
                .iter()
                .any(|index| *index <= before + 2 * OFTEN)
            {
                client.add(1).await??;
            }
        }
        cluster.converged().await?;
        compared(nodes);
        cluster.stop_all().await;
        Ok(())
    });
}

/// Whether the next replica to carry out such a command does something else.
static IS_ODD: AtomicBool = AtomicBool::new(false);

/// A state that is the same everywhere; what it has asked for and what it has told are not.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Aside {
    held: Held<true>,
    adds: u64,
}

#[raft_service]
impl Aside {
    fn wake(&mut self, context: &mut Context<u64>) -> Result<(), TooManyWakes> {
        let hours = if IS_ODD.swap(false, Ordering::Relaxed) {
            2
        } else {
            1
        };
        context.wake_at(context.now() + Duration::from_secs(hours * 3600))
    }

    fn tell(&mut self, context: &mut Context<u64>) {
        context.emit(u64::from(IS_ODD.swap(false, Ordering::Relaxed)));
    }

    fn add(&mut self) -> u64 {
        self.adds += 1;
        self.adds
    }

    #[timer]
    fn ring(&mut self, _context: &mut Context<u64>) {}
}

#[test]
fn timers_and_events_that_differ_are_found_out_though_the_state_is_the_same() {
    run_test(1, "aside", |_: Cluster<Aside>| async {
        let config = |config: braft::Config| config.settings(settings());
        let cluster = Cluster::<Aside>::start_with(3, config).await?;
        cluster.all_vote().await?;
        let aside = cluster.client();
        for (is_timer, part) in [(true, "the timers that are set"), (false, "the events")] {
            let closed = Closed::new(&READING_ASIDE);
            IS_ODD.store(true, Ordering::Relaxed);
            if is_timer {
                aside.wake().await??;
            } else {
                aside.tell().await?;
            }
            let diverged = || {
                let all = (0..3).map(|place| status(&cluster, TestNode(place)).diverged);
                all.flatten().collect::<Vec<_>>()
            };
            while diverged().is_empty() {
                // Towards the next mark.
                aside.add().await?;
            }
            let why = diverged();
            assert!(why.len() == 1 && why[0].contains(part), "{why:?}");
            assert!(!why[0].contains("service Aside"), "{why:?}");
            drop(closed);
            until(|| {
                (0..3).all(|place| {
                    let status = status(&cluster, TestNode(place));
                    status.diverged.is_none() && status.divergences.is_empty()
                })
            })
            .await;
            cluster.converged().await?;
        }
        cluster.stop_all().await;
        Ok(())
    });
}
