//! Commands that panic: without effect, on every replica and ever after.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use braft::collections::Map;
use braft::testing::{Cluster, TestError, TestNode, TestResult, run_test};
use braft::{Config, Context, Error, ErrorKind, OnPanic, Outcome, TooManyWakes, raft_service};
use serde::{Deserialize, Serialize};

use crate::snapshots::{Closed, Gate, Gated, Slow, until};

/// Sums, with commands that leave a half-done change behind.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Fragile {
    total: u64,
    added: BTreeMap<u64, u64>,
}

#[raft_service]
impl Fragile {
    fn add(&mut self, by: u64) -> u64 {
        *self.added.entry(by).or_default() += 1;
        self.total += by;
        self.total
    }

    fn break_after(&mut self, by: u64) -> u64 {
        self.total += by;
        self.added.clear();
        panic!("{by} was one too many")
    }

    fn divide(&mut self, by: u64) -> u64 {
        self.total += 1_000_000;
        self.total /= by;
        self.total
    }

    fn total(&self) -> u64 {
        self.total
    }

    fn look_up(&self, key: u64) -> u64 {
        self.added[&key]
    }
}

/// What the caller of a command that panicked is told.
fn panicked<T>(answer: Result<T, Error>, text: &str) -> TestResult {
    let error = answer.err().ok_or("it was answered")?;
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    assert!(error.to_string().contains(text), "{error}");
    Ok(())
}

#[braft::test(nodes = 3)]
async fn all_other_commands_are_served_and_survive_a_restart_of_all_nodes(
    cluster: Cluster<Fragile>,
) -> TestResult {
    const WRITERS: u64 = 6;
    const WRITES: u64 = 60;
    let writers = (0..WRITERS).map(|writer| {
        let fragile = cluster.client();
        tokio::spawn(async move {
            for _ in 0..WRITES {
                fragile.add(writer).await?;
            }
            Ok::<_, Error>(())
        })
    });
    let writers: Vec<_> = writers.collect();
    let fragile = cluster.client();
    for n in 1..=2 {
        panicked(
            fragile.break_after(n).await,
            "Fragile.break_after at log id",
        )?;
        panicked(fragile.divide(0).await, "attempt to divide by zero")?;
    }
    for writer in writers {
        writer.await??;
    }
    let total = WRITES * (0..WRITERS).sum::<u64>();
    assert_eq!(fragile.total().await?, total);
    cluster.converged().await?;

    cluster.stop_all().await;
    cluster.start_all().await?;
    let fragile = cluster.client();
    assert_eq!(fragile.total().await?, total);
    assert_eq!(fragile.look_up(WRITERS - 1).await?, WRITES);
    assert_eq!(fragile.add(1).await?, total + 1);
    cluster.converged().await
}

#[braft::test(nodes = 1)]
async fn a_query_that_panics_is_an_error_of_that_query(cluster: Cluster<Fragile>) -> TestResult {
    let fragile = cluster.client();
    fragile.add(1).await?;
    panicked(fragile.look_up(7).await, "panicked")?;
    assert_eq!(fragile.look_up(1).await?, 1);
    assert!(cluster.node(TestNode(0))?.status().panics.is_empty());
    Ok(())
}

#[braft::test(nodes = 3)]
async fn a_method_that_panicked_three_times_is_refused_until_it_is_cleared(
    cluster: Cluster<Fragile>,
) -> TestResult {
    let fragile = cluster.client();
    fragile.add(1).await?;
    // Many at once share log entries: those behind the third do not run either.
    let calls: Vec<_> = (0..20).map(|n| fragile.break_after(n)).collect();
    let calls: Vec<_> = calls.into_iter().map(tokio::spawn).collect();
    for call in calls {
        panicked(call.await?, "break_after")?;
    }
    let leader = cluster.leader().await?;
    let node = cluster.node(leader)?;
    let panics = node.status().panics;
    assert_eq!(panics.len(), 1);
    assert_eq!((panics[0].times, panics[0].refused), (3, true));
    assert_eq!(panics[0].method, "break_after");
    panicked(fragile.break_after(1).await, "until an operator clears it")?;
    // Others are not concerned.
    assert_eq!(fragile.add(1).await?, 2);

    // Through any node.
    let follower = cluster.node(TestNode((leader.0 + 1) % 3))?;
    let unknown = node.clear_panics("Fragile", "total").await;
    assert_eq!(
        unknown.err().map(|error| error.kind()),
        Some(ErrorKind::Rejected)
    );
    follower.clear_panics("Fragile", "break_after").await?;
    assert!(node.status().panics.is_empty());
    panicked(fragile.break_after(5).await, "5 was one too many")?;
    assert_eq!(node.status().panics[0].times, 1);
    assert_eq!(fragile.total().await?, 2);
    drop((node, follower));
    cluster.converged().await
}

#[test]
fn a_replica_that_is_to_halt_says_so_and_its_log_goes_on() {
    run_test(1, "halt", |_: Cluster<Fragile>| async {
        let config = |config: Config| config.on_panic(OnPanic::Halt).snapshot_every(20);
        let cluster = Cluster::<Fragile>::start_with(3, config).await?;
        let fragile = cluster.client();
        fragile.add(1).await?;
        let error = fragile
            .break_after(1)
            .await
            .err()
            .ok_or("it was answered")?;
        // Whether the binary that is to come carries it out is not known.
        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
        let error = fragile.add(1).await.err().ok_or("it was carried out")?;
        assert_eq!(
            (error.kind(), error.outcome()),
            (ErrorKind::Fatal, Outcome::NotApplied)
        );
        assert!(error.to_string().contains("Fragile.break_after at log id"));
        for place in (0..3).map(TestNode) {
            let node = cluster.node(place)?;
            until(|| node.status().halted.is_some()).await;
            let error = cluster.client_at(place)?.total().local().await;
            let error = error.err().ok_or("a halted node answered")?;
            assert_eq!(error.kind(), ErrorKind::Fatal);
        }
        // The others still vote and append.
        let before = cluster.leader().await?;
        let term = cluster.node(before)?.status().term;
        let down = cluster.kill(before).await?;
        let next = cluster.node(cluster.leader().await?)?;
        assert!(next.status().term > term);
        drop(next);
        // The same binary gets no further.
        cluster.restart(down).await?;
        let node = cluster.node(before)?;
        until(|| node.status().halted.is_some()).await;
        drop(node);
        cluster.stop_all().await;
        Ok(())
    });
}

/// Stands for a later binary in which the command does not panic.
static MENDED: AtomicBool = AtomicBool::new(false);

/// A service that is mended between two starts.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Mended {
    total: u64,
}

#[raft_service]
impl Mended {
    fn add(&mut self, by: u64) -> u64 {
        self.total += by;
        assert!(
            by < 100 || MENDED.load(Ordering::Relaxed),
            "{by} is too much"
        );
        self.total
    }

    fn total(&self) -> u64 {
        self.total
    }
}

#[braft::test(nodes = 3)]
async fn a_later_binary_that_replays_the_log_leaves_out_what_panicked_in_an_earlier_one(
    cluster: Cluster<Mended>,
) -> TestResult {
    let mended = cluster.client();
    mended.add(1).await?;
    // Answered only once the log says that it has no effect.
    panicked(mended.add(100).await, "100 is too much")?;
    mended.add(2).await?;
    // One node of the new binary among two of the old, then all.
    let down = cluster.kill_leader().await?;
    MENDED.store(true, Ordering::Relaxed);
    cluster.restart(down).await?;
    cluster.converged().await?;
    cluster.stop_all().await;
    cluster.start_all().await?;
    let mended = cluster.client();
    assert_eq!(mended.total().await?, 3);
    assert_eq!(mended.add(100).await?, 103);
    cluster.converged().await
}

struct Writing;

impl Gated for Writing {
    const GATE: &'static Gate = &WRITING_GATE;
}

static WRITING_GATE: Gate = Gate::new();

impl braft::Freeze for Slow<Writing> {}

/// A state that can be frozen, so that commands are carried out while it is written.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Written {
    slow: Slow<Writing>,
    counts: Map<u64, u64>,
}

#[raft_service]
impl Written {
    fn add(&mut self, key: u64) -> u64 {
        let count = self.counts.entry(key).or_default();
        *count += 1;
        assert!(key < 100, "no such key");
        *count
    }

    fn counts(&self) -> Vec<u64> {
        self.counts.values().copied().collect()
    }
}

const SNAPSHOT_EVERY: u64 = 20;

fn small_log(config: Config) -> Config {
    config.snapshot_every(SNAPSHOT_EVERY).keep_log_entries(5)
}

#[test]
fn a_panic_while_a_snapshot_is_written_changes_neither_file_nor_state() {
    run_test(1, "panic in a snapshot", |_: Cluster<Written>| async {
        let calm = |config| {
            small_log(config)
                .heartbeat(Duration::from_millis(100))
                .election_timeout(Duration::from_secs(3)..Duration::from_secs(6))
        };
        let cluster = Cluster::<Written>::start_with(1, calm).await?;
        let written = cluster.client();
        let mut added = [0; 3];
        let closed = Closed::new(&WRITING_GATE);
        let mut add = async |times: usize| -> TestResult {
            for n in 0..times {
                added[n % 3] += 1;
                assert_eq!(written.add((n % 3) as u64).await?, added[n % 3]);
            }
            Ok(())
        };
        add(SNAPSHOT_EVERY as usize + 1).await?;
        until(|| WRITING_GATE.waiting() > 0).await;
        // From the log alone: there is no snapshot yet.
        panicked(written.add(100).await, "no such key")?;
        add(10).await?;
        let node = cluster.node(TestNode(0))?;
        assert_eq!(node.status().log.snapshot_index, 0);
        drop(closed);
        until(|| node.status().log.purged_index > 0).await;
        drop(node);
        // From the snapshot, and the log behind it.
        panicked(written.add(200).await, "no such key")?;
        add(2).await?;
        assert_eq!(written.counts().await?, added);
        cluster.stop_all().await;
        cluster.start_all().await?;
        assert_eq!(cluster.client().counts().await?, added);
        cluster.stop_all().await;
        Ok(())
    });
}

#[test]
fn a_panic_right_after_a_snapshot_was_installed_has_no_effect_there_either() {
    run_test(1, "panic after a snapshot", |_: Cluster<Fragile>| async {
        let cluster = Cluster::<Fragile>::start_with(3, small_log).await?;
        let fragile = cluster.client();
        panicked(fragile.break_after(1).await, "1 was one too many")?;
        let leader = cluster.node(cluster.leader().await?)?;
        while leader.status().log.purged_index == 0 {
            fragile.add(1).await?;
        }
        drop(leader);
        // Its log begins behind the snapshot it is sent.
        let added = cluster.add_node().await?;
        panicked(fragile.break_after(2).await, "2 was one too many")?;
        fragile.add(1).await?;
        cluster.converged().await?;
        let status = cluster.node(added)?.status();
        assert!(status.log.purged_index > 0);
        let times = status.panics.first().map(|panics| panics.times);
        assert_eq!(times, Some(2));
        panicked(fragile.break_after(3).await, "3 was one too many")?;
        cluster.converged().await?;
        cluster.stop_all().await;
        Ok::<_, TestError>(())
    });
}

/// A bell whose timer leaves a half-done change behind until it is mended.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Bell {
    rung: u64,
    strikes: u64,
    mended: bool,
}

#[raft_service]
impl Bell {
    /// Rings once that time has passed; says what time it is in the log.
    fn set(&mut self, context: &mut Context, after_ms: u32) -> Result<SystemTime, TooManyWakes> {
        let at = context.now() + Duration::from_millis(after_ms.into());
        context.wake_at(at)?;
        Ok(context.now())
    }

    fn strike(&mut self, context: &mut Context) -> SystemTime {
        self.strikes += 1;
        context.now()
    }

    fn mend(&mut self) {
        self.mended = true;
    }

    #[timer]
    fn ring(&mut self) {
        self.rung += 1;
        assert!(self.mended, "the bell is cracked");
    }

    fn counts(&self) -> (u64, u64) {
        (self.rung, self.strikes)
    }
}

/// How often the timer of each node has panicked, as its status says, and whether it is refused.
fn strikes(cluster: &Cluster<Bell>) -> Vec<Option<(u32, bool)>> {
    let nodes = (0..3).map(|place| cluster.node(TestNode(place)).ok());
    let of_node = |node: Option<braft::Node>| {
        let panics = node?.status().panics;
        let ring = panics.iter().find(|panics| panics.method == "ring")?;
        Some((ring.times, ring.refused))
    };
    nodes.map(of_node).collect()
}

#[braft::test(nodes = 3)]
async fn a_timer_that_panics_has_no_effect_is_refused_after_three_times_and_can_be_cleared(
    cluster: Cluster<Bell>,
) -> TestResult {
    let bell = cluster.client();
    let mut struck = 0;
    for times in 1..=3 {
        bell.set(20).await??;
        // Commands go on meanwhile, and share entries with the timer.
        while strikes(&cluster) != [Some((times, times == 3)); 3] {
            bell.strike().await?;
            struck += 1;
        }
        assert_eq!(bell.counts().await?, (0, struck));
        cluster.converged().await?;
    }
    // Due, and not run any more: a command of a later entry has seen its time pass.
    let due = bell.set(20).await?? + Duration::from_millis(20);
    while bell.strike().await? <= due {
        struck += 1;
    }
    struck += 1;
    assert_eq!(bell.counts().await?, (0, struck));

    cluster.stop_all().await;
    cluster.start_all().await?;
    let bell = cluster.client();
    assert_eq!(bell.counts().await?, (0, struck));
    cluster.converged().await?;
    assert_eq!(strikes(&cluster), [Some((3, true)); 3]);

    bell.mend().await?;
    let node = cluster.node(TestNode(0))?;
    node.clear_panics("Bell", "ring").await?;
    drop(node);
    bell.set(0).await??;
    while bell.counts().await?.0 == 0 {
        bell.strike().await?;
        struck += 1;
    }
    assert_eq!(bell.counts().await?, (1, struck));
    cluster.converged().await
}
