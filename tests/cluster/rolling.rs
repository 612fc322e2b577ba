//! Nodes that are restarted one by one under load, as an upgrade does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use braft::testing::{Cluster, TestNode, TestResult};

use crate::services::Counter;

const CLIENTS: usize = 64;
/// The longest anything may take; a test that hangs says what it waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the writers have seen.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    acknowledged: AtomicU64,
}

/// Waits until this many further writes are acknowledged: the cluster serves.
async fn progress(seen: &Seen, further: u64) -> TestResult {
    let target = seen.acknowledged.load(Ordering::Relaxed) + further;
    let waiting = async {
        while seen.acknowledged.load(Ordering::Relaxed) < target {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    Ok(waited.map_err(|_| format!("waited {PATIENCE:?} in vain for writes"))?)
}

#[braft::test(nodes = 3)]
async fn a_rolling_restart_fails_no_call_and_causes_no_election(
    cluster: Cluster<Counter>,
) -> TestResult {
    cluster.all_vote().await?;
    let seen = Arc::new(Seen::default());
    let writers: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (counter, seen) = (cluster.client(), seen.clone());
            tokio::spawn(async move {
                while !seen.stop.load(Ordering::Relaxed) {
                    counter
                        .add(1)
                        .await
                        .map_err(|error| error.to_string())?
                        .ok();
                    seen.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<_, String>(())
            })
        })
        .collect();
    progress(&seen, 100).await?;
    let before = cluster.node(cluster.leader().await?)?.status().term;
    let mut handovers = 0;
    for place in 0..3 {
        let node = TestNode(place);
        handovers += u64::from(cluster.leader().await? == node);
        let began = Instant::now();
        let down = cluster.shut_down(node).await?;
        progress(&seen, 100).await?;
        println!(
            "{node:?}: stopped and writing again after {:?}",
            began.elapsed()
        );
        cluster.restart(down).await?;
        cluster.node(node)?.ready().await;
        progress(&seen, 100).await?;
    }
    seen.stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await??;
    }
    let after = cluster.node(cluster.leader().await?)?.status().term;
    assert!(handovers >= 1);
    assert_eq!(after - before, handovers, "somebody campaigned unasked");
    let total = cluster.client().get().await?;
    assert_eq!(total, seen.acknowledged.load(Ordering::Relaxed));
    cluster.converged().await?;
    Ok(())
}
