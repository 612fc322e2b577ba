//! What the comparison of states costs: how long commands wait while a digest is taken.
//!
//! `cargo bench -p tests --bench digest`. Three nodes in this process hold a map of a million entries, as a
//! `BTreeMap` and as one of `braft::collections`. One client writes; every so many log entries the
//! states are compared. Of the writes between two comparisons the slowest is the one that waited.
//! `BRAFT_BENCH_ENTRIES` changes the size.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use braft::collections::Map;
use braft::testing::{Cluster, TestNode, TestResult};
use braft::{Config, Error, Service, Settings, raft_service};
use serde::{Deserialize, Serialize};

/// Log entries between two comparisons: more than the leader needs to notice that one is due.
const EVERY: u64 = 2_000;
const COMPARISONS: usize = 7;
const VALUE_BYTES: usize = 64;
/// Entries of the map that one command fills in.
const FILLED_AT_ONCE: u64 = 10_000;
/// From one key that is written to the next.
const STRIDE: u64 = 7919;
const PATIENCE: Duration = Duration::from_secs(60);

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Plain {
    values: BTreeMap<u64, String>,
}

#[raft_service]
impl Plain {
    fn fill(&mut self, first: u64, count: u64) {
        let all = (first..first + count).map(|key| (key, "v".repeat(VALUE_BYTES)));
        self.values.extend(all);
    }

    fn put(&mut self, key: u64, value: &str) {
        self.values.insert(key, value.to_owned());
    }
}

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Shared {
    values: Map<u64, String>,
}

#[raft_service]
impl Shared {
    fn fill(&mut self, first: u64, count: u64) {
        for key in first..first + count {
            self.values.insert(key, "v".repeat(VALUE_BYTES));
        }
    }

    fn put(&mut self, key: u64, value: &str) {
        self.values.insert(key, value.to_owned());
    }
}

/// A client of either.
trait Writes: braft::Client {
    fn fill_in(&self, first: u64) -> impl Future<Output = Result<(), Error>>;
    fn write(&self, key: u64, value: &str) -> impl Future<Output = Result<(), Error>>;
}

impl Writes for PlainClient {
    async fn fill_in(&self, first: u64) -> Result<(), Error> {
        self.fill(first, FILLED_AT_ONCE).deadline(PATIENCE).await
    }

    async fn write(&self, key: u64, value: &str) -> Result<(), Error> {
        self.put(key, value).deadline(PATIENCE).await
    }
}

impl Writes for SharedClient {
    async fn fill_in(&self, first: u64) -> Result<(), Error> {
        self.fill(first, FILLED_AT_ONCE).deadline(PATIENCE).await
    }

    async fn write(&self, key: u64, value: &str) -> Result<(), Error> {
        self.put(key, value).deadline(PATIENCE).await
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let measured = runtime.block_on(async {
        println!(
            "{:<24} {:>8} {:>8} {:>8}",
            "slowest write, ms", "median", "min", "max"
        );
        measure::<Plain>("BTreeMap, never compared", 0).await?;
        measure::<Plain>("BTreeMap, compared", EVERY).await?;
        measure::<Shared>("Map, never compared", 0).await?;
        measure::<Shared>("Map, compared", EVERY).await
    });
    measured.map_err(|error| error.to_string().into())
}

fn entries() -> u64 {
    let entries = std::env::var("BRAFT_BENCH_ENTRIES").ok();
    entries
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_000_000)
}

async fn measure<S: Service>(name: &str, digest_every: u64) -> TestResult
where
    S::Client: Writes,
{
    let settings = Settings {
        digest_every,
        ..Settings::default()
    };
    // No snapshot on the way: of a `BTreeMap` it would hold up commands as well.
    let config = move |config: Config| {
        let config = config.settings(settings.clone());
        config.snapshot_every(1 << 40).snapshot_bytes(1 << 60)
    };
    let cluster = Cluster::<S>::start_with(3, config).await?;
    cluster.all_vote().await?;
    let client = cluster.client();
    for first in (0..entries()).step_by(FILLED_AT_ONCE as usize) {
        client.fill_in(first).await?;
    }
    let node = cluster.node(TestNode(0))?;
    let value = "v".repeat(VALUE_BYTES);
    let (mut slowest, mut compared, mut key) = (Vec::new(), 0, 0);
    while slowest.len() <= COMPARISONS {
        let (mut longest, mut written) = (Duration::ZERO, 0);
        loop {
            key = (key + STRIDE) % entries();
            let began = Instant::now();
            client.write(key, &value).await?;
            longest = longest.max(began.elapsed());
            written += 1;
            let mark = node.status().compared_index;
            if mark != compared || (digest_every == 0 && written == EVERY) {
                compared = mark;
                break;
            }
        }
        slowest.push(longest.as_secs_f64() * 1000.0);
    }
    // The first one began anywhere.
    slowest.remove(0);
    slowest.sort_by(f64::total_cmp);
    println!(
        "{name:<24} {:>8.1} {:>8.1} {:>8.1}",
        slowest[slowest.len() / 2],
        slowest[0],
        slowest[slowest.len() - 1]
    );
    cluster.stop_all().await;
    Ok(())
}
