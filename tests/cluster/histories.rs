//! Histories of all read levels while nodes die, return and are cut off, checked against what one
//! copy could have answered.
//!
//! `HISTORY_OPERATIONS=100000` makes them longer, `HISTORY_SEED=7` plays other faults.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use braft::ReadLevel;
use braft::testing::{Cluster, TestNode, TestResult};
use tests::{Chance, Recording};

use crate::services::Counter;

/// Clients that may reach any node.
const CLIENTS: u64 = 8;
/// An election, and some more.
const CUT: Duration = Duration::from_millis(1_200);
const CALM: Duration = Duration::from_millis(300);

fn number(variable: &str, standard: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(standard)
}

/// Reads inside each node: those that are nearest to a state that is old.
async fn read_inside(
    cluster: Cluster<Counter>,
    recording: Arc<Recording>,
    place: usize,
    wanted: u64,
) {
    let mut chance = Chance::of(1_000 + place as u64);
    while recording.answered.load(Ordering::Relaxed) < wanted {
        let Ok(counter) = cluster.client_at(TestNode(place)) else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let level = match chance.below(8) {
            0 => ReadLevel::Linearizable,
            1 => ReadLevel::Follower,
            2 => ReadLevel::Local,
            3 => ReadLevel::LocalAtMost(CALM),
            _ => ReadLevel::Lease,
        };
        let stranger = recording.stranger();
        let is_answered = recording.call_at(&counter, stranger, Some(level)).await;
        // No more than clients change what is read.
        let pause = if is_answered { 1 } else { 5 };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

/// One fault after the other until enough calls were answered. Says how many.
async fn disturb(
    cluster: &Cluster<Counter>,
    recording: &Recording,
    wanted: u64,
) -> TestResult<u64> {
    let mut chance = Chance::of(number("HISTORY_SEED", 1));
    let mut faults = 0;
    while recording.answered.load(Ordering::Relaxed) < wanted {
        let any = TestNode(chance.below(3) as usize);
        match chance.below(6) {
            // Back at once, within the lease it held or had granted.
            0 => {
                let down = cluster.kill_leader().await?;
                cluster.restart(down).await?;
            }
            1 => {
                let down = cluster.kill(any).await?;
                cluster.restart(down).await?;
            }
            2 => {
                cluster.isolate(cluster.leader().await?);
                tokio::time::sleep(CUT).await;
            }
            3 => {
                cluster.isolate(any);
                tokio::time::sleep(CUT).await;
            }
            4 => {
                cluster.cut(any, TestNode((any.0 + 1) % 3));
                tokio::time::sleep(CUT).await;
            }
            _ => cluster.break_connections(),
        }
        faults += 1;
        cluster.heal();
        tokio::time::sleep(CALM).await;
    }
    Ok(faults)
}

async fn record(cluster: &Cluster<Counter>, wanted: u64) -> TestResult {
    let recording = Arc::new(Recording::default());
    let mut tasks: Vec<_> = (0..CLIENTS)
        .map(|client| tokio::spawn(recording.clone().caller(cluster.client(), client, wanted)))
        .collect();
    for place in 0..3 {
        let reading = read_inside(cluster.clone(), recording.clone(), place, wanted);
        tasks.push(tokio::spawn(reading));
    }
    let faults = disturb(cluster, &recording, wanted).await?;
    for task in tasks {
        task.await?;
    }
    cluster.converged().await?;
    let total = cluster.client().get().await?;
    let report = recording.history.check(total)?;
    println!("{faults} faults; {report}");
    for kind in [
        "increments",
        "linearizable reads",
        "lease reads",
        "follower reads",
        "session reads",
    ] {
        assert!(report.answered.contains_key(kind), "no {kind}: {report}");
    }
    assert!(report.stale > 0, "local reads are never stale: {report}");
    Ok(())
}

#[braft::test(nodes = 3)]
async fn no_read_but_the_local_ones_is_stale_under_kills_and_cuts(
    cluster: Cluster<Counter>,
) -> TestResult {
    record(&cluster, number("HISTORY_OPERATIONS", 2_000)).await
}

#[braft::test(nodes = 3)]
async fn no_read_but_the_local_ones_is_stale_while_clocks_drift_within_the_margin(
    cluster: Cluster<Counter>,
) -> TestResult {
    // One that loses a twentieth among others that gain one: as a leader it believes in its lease
    // for longest, as the others keep their promise for shortest. A tenth is the margin.
    for (place, rate) in [0.95, 1.05, 1.05].into_iter().enumerate() {
        cluster.set_clock_rate(TestNode(place), rate);
        let down = cluster.kill(TestNode(place)).await?;
        cluster.restart(down).await?;
    }
    record(&cluster, number("HISTORY_OPERATIONS", 2_000)).await
}
