//! A history of all read levels while processes are killed and paused, checked against what one copy
//! could have answered.
//!
//! `HISTORY_OPERATIONS=100000` makes it longer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use braft::Client;
use braft::testing::TestResult;
use tests::{Chance, CounterClient, Recording};

use crate::nodes::Nodes;
use crate::paused::signal;

const CLIENTS: u64 = 9;
/// Longer than the lease and than an election, with default timers.
const PAUSE: Duration = Duration::from_millis(1_800);
const CALM: Duration = Duration::from_millis(400);

fn wanted() -> u64 {
    let text = std::env::var("HISTORY_OPERATIONS").ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(500)
}

/// One fault after the other until enough calls were answered.
async fn disturb(nodes: &mut Nodes, recording: &Recording) -> TestResult<u64> {
    let mut chance = Chance::of(1);
    let mut faults = 0;
    while recording.answered.load(Ordering::Relaxed) < wanted() {
        let any = chance.below(3) as usize;
        match chance.below(4) {
            0 => {
                let leader = nodes.leader().await?;
                nodes.kill(leader)?;
                // Back within its lease.
                nodes.restart(leader)?;
            }
            1 => {
                nodes.kill(any)?;
                nodes.restart(any)?;
            }
            // What it answers when it wakes must not be what it knew when it fell asleep.
            2 => {
                let leader = nodes.leader().await?;
                signal(nodes, leader, "-STOP")?;
                tokio::time::sleep(PAUSE).await;
                signal(nodes, leader, "-CONT")?;
            }
            _ => {
                signal(nodes, any, "-STOP")?;
                tokio::time::sleep(PAUSE).await;
                signal(nodes, any, "-CONT")?;
            }
        }
        faults += 1;
        tokio::time::sleep(CALM).await;
    }
    Ok(faults)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_but_the_local_ones_is_stale_under_kills_and_pauses() {
    let run = async || -> TestResult {
        let mut nodes = Nodes::start(3, &[]).await?;
        let addresses = nodes.addresses();
        let recording = Arc::new(Recording::default());
        let mut tasks = Vec::new();
        for client in 0..CLIENTS {
            // A third of them enters at each node.
            let first = &addresses[(client % 3) as usize];
            let counter = CounterClient::connect([first]).await?;
            let calling = recording.clone().caller(counter, client, wanted());
            tasks.push(tokio::spawn(calling));
        }
        let faults = disturb(&mut nodes, &recording).await?;
        for task in tasks {
            task.await?;
        }
        let counter = CounterClient::connect(&addresses).await?;
        let total = counter.get().deadline(10 * PAUSE).await?;
        let report = recording.history.check(total)?;
        println!("{faults} faults; {report}");
        for kind in [
            "increments",
            "linearizable reads",
            "lease reads",
            "session reads",
        ] {
            assert!(report.answered.contains_key(kind), "no {kind}: {report}");
        }
        Ok(())
    };
    run().await.unwrap_or_else(|error| panic!("{error}"));
}
