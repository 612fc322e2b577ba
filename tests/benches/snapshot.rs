//! What a snapshot costs those who call meanwhile: one node with a state of 128 MiB
//! (`BRAFT_BENCH_MIB`), in `braft::collections`, which is frozen, and in a `BTreeMap`, which is
//! written in place.

#![allow(unreachable_pub)] // services are public in life

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use braft::collections::Map;
use braft::testing::{Cluster, TestNode, TestResult};
use braft::{Call, Service, raft_service};
use serde::{Deserialize, Serialize};

const VALUE_BYTES: usize = 256;
/// Clients that each wait for their answer before they call again.
const CLIENTS: u64 = 8;
/// Values that one command of the preparation writes.
const FILL: u64 = 4096;
/// Snapshots that are met.
const SNAPSHOTS: u64 = 6;
/// Log entries between two snapshots.
const SNAPSHOT_EVERY: u64 = 20_000;
/// Bytes of a log segment: the product's own, not the small ones of tests.
const SEGMENT_BYTES: u64 = 64 << 20;
/// How often it is looked whether a snapshot is being written.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A client of either service.
trait Store: Clone + Send + Sync + 'static {
    fn fill(&self, from: u64, to: u64) -> Call<()>;
    fn put(&self, key: u64, value: &str) -> Call<()>;
}

macro_rules! store {
    ($service:ident, $client:ident, $map:ident) => {
        #[raft_service]
        #[derive(Default, Serialize, Deserialize)]
        struct $service {
            values: $map<u64, String>,
        }

        #[raft_service]
        impl $service {
            fn fill(&mut self, from: u64, to: u64) {
                let value = "v".repeat(VALUE_BYTES);
                self.values
                    .extend((from..to).map(|key| (key, value.clone())));
            }

            fn put(&mut self, key: u64, value: &str) {
                self.values.insert(key, value.to_owned());
            }
        }

        impl Store for $client {
            fn fill(&self, from: u64, to: u64) -> Call<()> {
                $client::fill(self, from, to)
            }

            fn put(&self, key: u64, value: &str) -> Call<()> {
                $client::put(self, key, value)
            }
        }
    };
}

store!(Frozen, FrozenClient, Map);
store!(InPlace, InPlaceClient, BTreeMap);

/// What is seen of the snapshots of a node.
#[derive(Default)]
struct Seen {
    /// Whether one is being written.
    under_way: AtomicBool,
    /// How many were begun.
    begun: AtomicU64,
}

/// Latencies of calls that met no snapshot, and of those that did.
#[derive(Default)]
struct Latencies {
    without: Vec<Duration>,
    during: Vec<Duration>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime
        .block_on(async {
            println!(
                "{:<28} {:>9} {:>9} {:>9} {:>9} {:>9}",
                "latency, ms", "calls", "p50", "p99", "p99.9", "max"
            );
            measure::<Frozen>("collections::Map").await?;
            measure::<InPlace>("BTreeMap").await
        })
        .map_err(|error: braft::testing::TestError| error.to_string().into())
}

async fn measure<S>(name: &str) -> TestResult
where
    S: Service,
    S::Client: Store,
{
    let mib = std::env::var("BRAFT_BENCH_MIB").ok();
    let bytes = mib.and_then(|text| text.parse().ok()).unwrap_or(128_u64) << 20;
    let keys = bytes / VALUE_BYTES as u64;
    let cluster = Cluster::<S>::start_with(1, |config| {
        config
            .segment_bytes(SEGMENT_BYTES)
            .snapshot_every(SNAPSHOT_EVERY)
    })
    .await?;
    let client = cluster.client_at(TestNode(0))?;
    for from in (0..keys).step_by(FILL as usize) {
        client.fill(from, (from + FILL).min(keys)).await?;
    }
    let seen = Arc::new(Seen::default());
    let files = cluster.data_dir(TestNode(0)).join("snapshots");
    let looking = tokio::spawn(look(files, seen.clone()));
    let running = (0..CLIENTS).map(|id| tokio::spawn(call(client.clone(), id, keys, seen.clone())));
    let mut all = Latencies::default();
    for latencies in running.collect::<Vec<_>>() {
        let latencies = latencies.await??;
        all.without.extend(latencies.without);
        all.during.extend(latencies.during);
    }
    looking.abort();
    print(&format!("{name}, no snapshot"), all.without);
    print(&format!("{name}, during one"), all.during);
    cluster.stop_all().await;
    Ok(())
}

async fn look(files: PathBuf, seen: Arc<Seen>) {
    loop {
        let now = is_under_way(&files);
        if now && !seen.under_way.swap(now, Ordering::Relaxed) {
            seen.begun.fetch_add(1, Ordering::Relaxed);
        }
        seen.under_way.store(now, Ordering::Relaxed);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn is_under_way(files: &Path) -> bool {
    let names = std::fs::read_dir(files).into_iter().flatten().flatten();
    names
        .map(|file| file.file_name())
        .any(|name| name.to_string_lossy().ends_with(".tmp"))
}

/// One client, until enough snapshots are over.
async fn call(client: impl Store, id: u64, keys: u64, seen: Arc<Seen>) -> TestResult<Latencies> {
    let value = "w".repeat(VALUE_BYTES);
    let mut latencies = Latencies::default();
    let mut key = id;
    loop {
        // A walk over all keys in no order.
        key = key
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(2 * id + 1);
        let before = seen.under_way.load(Ordering::Relaxed);
        let began = Instant::now();
        client.put((key >> 32) % keys, &value).await?;
        let took = began.elapsed();
        let after = seen.under_way.load(Ordering::Relaxed);
        if before || after {
            latencies.during.push(took);
        } else {
            latencies.without.push(took);
        }
        if seen.begun.load(Ordering::Relaxed) >= SNAPSHOTS && !after {
            return Ok(latencies);
        }
    }
}

fn print(name: &str, mut latencies: Vec<Duration>) {
    latencies.sort();
    let at = |share: f64| {
        let place = (latencies.len() as f64 * share) as usize;
        let latency = latencies.get(place.min(latencies.len().saturating_sub(1)));
        latency.copied().unwrap_or_default().as_secs_f64() * 1000.0
    };
    println!(
        "{name:<28} {:>9} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
        latencies.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}
