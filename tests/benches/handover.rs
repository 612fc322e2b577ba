//! How long writes pause when the leader is restarted in order, under 64 writing clients.
//!
//! `cargo bench -p tests --bench handover`. Three nodes in one process, default timers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use braft::testing::{Cluster, TestResult};
use tests::Counter;

const CLIENTS: usize = 64;
const ROUNDS: usize = 10;
/// Load before the leader is asked to stop, and after it is back.
const WARM: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Load {
    stop: AtomicBool,
    acknowledged: Mutex<Vec<Instant>>,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    if let Err(error) = runtime.block_on(run()) {
        panic!("{error}");
    }
}

async fn run() -> TestResult {
    let cluster = Cluster::<Counter>::start_with(3, |config| {
        config
            .heartbeat(Duration::from_millis(100))
            .election_timeout(Duration::from_millis(300)..Duration::from_millis(600))
    })
    .await?;
    cluster.all_vote().await?;
    let load = Arc::new(Load::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(write(cluster.client(), load.clone())))
        .collect();
    let mut gaps = Vec::new();
    let before = cluster.node(cluster.leader().await?)?.status().term;
    for _ in 0..ROUNDS {
        tokio::time::sleep(WARM).await;
        let leader = cluster.leader().await?;
        let began = Instant::now();
        let down = cluster.shut_down(leader).await?;
        let ended = Instant::now();
        tokio::time::sleep(WARM).await;
        gaps.push(longest_gap(&load, began, ended + WARM / 2));
        cluster.restart(down).await?;
        cluster.all_vote().await?;
    }
    let after = cluster.node(cluster.leader().await?)?.status().term;
    load.stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await??;
    }
    gaps.sort_unstable();
    println!(
        "{ROUNDS} planned handovers under {CLIENTS} clients: writes paused for {:?} (median; {:?} \
         to {:?}), no call failed, {} elections that nobody asked for",
        gaps[ROUNDS / 2],
        gaps[0],
        gaps[ROUNDS - 1],
        after - before - ROUNDS as u64
    );
    cluster.stop_all().await;
    Ok(())
}

async fn write(counter: tests::CounterClient, load: Arc<Load>) -> Result<(), String> {
    while !load.stop.load(Ordering::Relaxed) {
        let added = counter.add(1).await.map_err(|error| error.to_string())?;
        added.map_err(|overflow| overflow.to_string())?;
        let mut acknowledged = load
            .acknowledged
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        acknowledged.push(Instant::now());
    }
    Ok(())
}

/// The longest time without an acknowledgement between two moments.
fn longest_gap(load: &Load, from: Instant, to: Instant) -> Duration {
    let mut acknowledged = load
        .acknowledged
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    acknowledged.sort_unstable();
    let within: Vec<_> = acknowledged
        .iter()
        .filter(|at| (from..to).contains(*at))
        .copied()
        .collect();
    let all = [&[from], within.as_slice(), &[to]].concat();
    acknowledged.clear();
    let gaps = all.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.max().unwrap_or_default()
}
