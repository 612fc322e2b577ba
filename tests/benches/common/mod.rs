//! What the benchmarks share: a small service, closed-loop clients, and figures of several rounds.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use braft::raft_service;
use serde::{Deserialize, Serialize};

/// Bytes of the value in one command.
pub(crate) const VALUE_BYTES: usize = 256;
/// How often each measurement is taken, unless `BRAFT_BENCH_ROUNDS` says otherwise.
const ROUNDS: usize = 3;
/// Runs before each measurement, unmeasured: connections and sessions are opened in it.
const WARM_UP: Duration = Duration::from_millis(300);
/// Keys that each client goes through: the state stays small, so that it is the log that counts.
const KEYS: u64 = 16;

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Store {
    values: BTreeMap<u64, String>,
}

#[raft_service]
impl Store {
    pub(crate) fn put(&mut self, key: u64, value: &str) {
        let slot = self.values.entry(key).or_default();
        slot.clear();
        slot.push_str(value);
    }

    pub(crate) fn get(&self, key: u64) -> Option<&str> {
        self.values.get(&key).map(String::as_str)
    }
}

/// How long one measurement takes; `BRAFT_BENCH_SECONDS` changes it.
pub(crate) fn round() -> Duration {
    let seconds = std::env::var("BRAFT_BENCH_SECONDS").ok();
    Duration::from_secs_f64(seconds.and_then(|text| text.parse().ok()).unwrap_or(2.0))
}

/// How often each measurement is taken; `BRAFT_BENCH_ROUNDS` changes it.
pub(crate) fn rounds() -> usize {
    let rounds = std::env::var("BRAFT_BENCH_ROUNDS").ok();
    rounds
        .and_then(|text| text.parse().ok())
        .unwrap_or(ROUNDS)
        .max(1)
}

/// Numbers of clients to measure; `BRAFT_BENCH_CLIENTS=1,256` changes them.
pub(crate) fn client_counts(standard: &[u64]) -> Vec<u64> {
    let counts = std::env::var("BRAFT_BENCH_CLIENTS").ok();
    counts.map_or_else(
        || standard.to_vec(),
        |text| text.split(',').filter_map(|n| n.parse().ok()).collect(),
    )
}

/// The value that commands carry.
pub(crate) fn value() -> String {
    "v".repeat(VALUE_BYTES)
}

/// The key of a client's n-th call.
pub(crate) fn key(client: u64, n: u64) -> u64 {
    client * KEYS + n % KEYS
}

/// Calls per second of closed-loop clients, each of which sends its next call once it has the
/// answer to the last one.
pub(crate) async fn closed_loop<F>(clients: u64, call: impl Fn(u64) -> F) -> f64
where
    F: Client,
{
    let stop = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicBool::new(false));
    let running: Vec<_> = (0..clients)
        .map(|client| {
            let (stop, count, client) = (stop.clone(), count.clone(), call(client));
            tokio::spawn(async move {
                let mut counted = 0_u64;
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) {
                    client.call(n).await;
                    n += 1;
                    counted += u64::from(count.load(Ordering::Relaxed));
                }
                counted
            })
        })
        .collect();
    tokio::time::sleep(WARM_UP).await;
    count.store(true, Ordering::Relaxed);
    let began = Instant::now();
    tokio::time::sleep(round()).await;
    count.store(false, Ordering::Relaxed);
    let took = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    let mut total = 0;
    for client in running {
        total += client.await.expect("a client does not panic");
    }
    total as f64 / took.as_secs_f64()
}

/// One client's n-th call.
pub(crate) trait Client: Send + Sync + 'static {
    fn call(&self, n: u64) -> impl Future<Output = ()> + Send;
}

/// A client that writes.
pub(crate) struct Writer {
    pub(crate) client: StoreClient,
    pub(crate) id: u64,
    pub(crate) value: String,
}

impl Client for Writer {
    async fn call(&self, n: u64) {
        let put = self.client.put(key(self.id, n), &self.value);
        put.await.expect("a healthy cluster takes every write");
    }
}

/// Rates of several rounds of one measurement.
#[derive(Default)]
pub(crate) struct Rates(Vec<f64>);

#[allow(dead_code, reason = "not every benchmark uses all of it")]
impl Rates {
    pub(crate) fn add(&mut self, rate: f64) {
        self.0.push(rate);
        self.0.sort_by(f64::total_cmp);
    }

    pub(crate) fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    /// Prints a line of the table; `floor` is what the median is compared with.
    pub(crate) fn print(&self, name: &str, floor: f64) {
        self.print_beside(name, self.median() / floor);
    }

    /// Prints a line of the table, and what these rates come to beside others.
    pub(crate) fn print_beside(&self, name: &str, compared: f64) {
        println!(
            "{name:<28} {:>10.0} {:>10.0} {:>10.0} {compared:>8.2}",
            self.median(),
            self.0[0],
            self.0[self.0.len() - 1],
        );
    }
}

/// Prints the head of the table.
pub(crate) fn print_head(compared_with: &str) {
    println!(
        "{:<28} {:>10} {:>10} {:>10} {:>8}",
        "calls/s", "median", "min", "max", compared_with
    );
}
