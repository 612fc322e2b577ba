//! What the comparison of states costs: those who write meanwhile, and by itself.
//!
//! `cargo bench -p tests --bench digest`. Three nodes in this process hold a state of 1,000,000 entries in
//! `braft::collections`, then one of 100,000 in a `BTreeMap` (`BRAFT_BENCH_ENTRIES=1000000,100000`), and
//! closed-loop callers write single entries. In turns the states are never compared, and compared as often
//! as they ever are: four times a second a leader looks whether a comparison is due, and here one always
//! is. With the setting's default it is due after 50,000 log entries. What each pair of rounds comes to is
//! a ratio of its own; the medians are printed.
//!
//! Before that the digest by itself, of the same states, after so many entries have changed.
//! `BRAFT_BENCH_ROUNDS` and `BRAFT_BENCH_SECONDS` change how many pairs there are, and how long a round is.

#![allow(unreachable_pub)] // services are public in life

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use braft::collections::Map;
use braft::testing::bench::{change_settings, digest};
use braft::testing::{Cluster, TestResult};
use braft::{Config, Error, Node, Service, raft_service};
use serde::{Deserialize, Serialize};

/// Log entries between two comparisons: less than is written between two looks of a leader.
const EVERY: u64 = 100;
const CALLERS: [usize; 2] = [1, 64];
/// Pairs of rounds.
const PAIRS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
/// Of each round before it counts.
const WARM_UP: Duration = Duration::from_millis(500);
/// How often it is looked whether the states have been compared again.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const MAP_ENTRIES: u64 = 1_000_000;
const PLAIN_ENTRIES: u64 = 100_000;
const VALUE_BYTES: usize = 64;
/// Entries of the state that one command fills in.
const FILLED_AT_ONCE: u64 = 10_000;
/// From one key that is written to the next.
const STRIDE: u64 = 7919;
const PATIENCE: Duration = Duration::from_secs(60);
/// Entries that have changed since the last digest.
const CHANGED: [u64; 4] = [0, 1, 100, 10_000];
/// Digests of which the median is printed.
const DIGESTS: usize = 7;

/// A client of either service.
trait Writes: braft::Client {
    fn fill_in(&self, first: u64) -> impl Future<Output = Result<(), Error>> + Send;
    fn write(&self, key: u64, value: &str) -> impl Future<Output = Result<(), Error>> + Send;
}

/// A state of either service.
trait State: Service<Client: Writes> {
    fn change(&mut self, key: u64, value: String);
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
            fn fill(&mut self, first: u64, count: u64) {
                for key in first..first + count {
                    self.values.insert(key, value());
                }
            }

            fn put(&mut self, key: u64, value: &str) {
                self.values.insert(key, value.to_owned());
            }
        }

        impl State for $service {
            fn change(&mut self, key: u64, value: String) {
                self.values.insert(key, value);
            }
        }

        impl Writes for $client {
            async fn fill_in(&self, first: u64) -> Result<(), Error> {
                self.fill(first, FILLED_AT_ONCE).deadline(PATIENCE).await
            }

            async fn write(&self, key: u64, value: &str) -> Result<(), Error> {
                self.put(key, value).deadline(PATIENCE).await
            }
        }
    };
}

store!(Shared, SharedClient, Map);
store!(Plain, PlainClient, BTreeMap);

fn value() -> String {
    "v".repeat(VALUE_BYTES)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [shared, plain] = entries();
    println!("one digest, ms (median of {DIGESTS}), after so many entries have changed");
    by_itself::<Shared>("Map", shared);
    by_itself::<Plain>("BTreeMap", plain);
    let runtime = tokio::runtime::Runtime::new()?;
    let measured = runtime.block_on(async {
        measure::<Shared>("Map", shared).await?;
        measure::<Plain>("BTreeMap", plain).await
    });
    measured.map_err(|error| error.to_string().into())
}

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// How many entries each of the two states has.
fn entries() -> [u64; 2] {
    let text = std::env::var("BRAFT_BENCH_ENTRIES").unwrap_or_default();
    let mut numbers = text.split(',').map(|text| text.parse().ok());
    let mut next = |standard| numbers.next().flatten().unwrap_or(standard);
    [next(MAP_ENTRIES), next(PLAIN_ENTRIES)]
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn by_itself<S: State>(name: &str, entries: u64) {
    let mut state = S::default();
    for key in 0..entries {
        state.change(key, value());
    }
    let timed = |state: &S| {
        let began = Instant::now();
        std::hint::black_box(digest(state));
        began.elapsed().as_secs_f64() * 1000.0
    };
    print!(
        "{name} of {entries} entries: {:.3} the first",
        timed(&state)
    );
    let mut n = 0;
    for changed in CHANGED {
        let times = (0..DIGESTS).map(|_| {
            for _ in 0..changed {
                n += STRIDE;
                state.change(n % entries, value());
            }
            timed(&state)
        });
        print!(", {:.3} after {changed}", median(times.collect()));
    }
    println!();
}

async fn measure<S: State>(name: &str, entries: u64) -> TestResult {
    // No snapshot on the way: of a `BTreeMap` it would hold up commands as well.
    let config = |config: Config| config.snapshot_every(1 << 40).snapshot_bytes(1 << 60);
    let cluster = Cluster::<S>::start_with(3, config).await?;
    cluster.all_vote().await?;
    let client = cluster.client();
    for first in (0..entries).step_by(FILLED_AT_ONCE as usize) {
        client.fill_in(first).await?;
    }
    let node = cluster.node(cluster.leader().await?)?;
    let pairs = variable("BRAFT_BENCH_ROUNDS").unwrap_or(PAIRS).max(1);
    for callers in CALLERS {
        let writers = Writers {
            client: client.clone(),
            node: node.clone(),
            callers,
            entries,
        };
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for pair in 0..pairs {
            // Whoever comes second may find the machine warmer.
            for compared in [pair % 2 == 1, pair % 2 == 0] {
                let every = if compared { EVERY } else { 0 };
                change_settings(&node, &format!(r#"{{"digest_every":{every}}}"#)).await?;
                let rounds = if compared { &mut with } else { &mut without };
                rounds.push(writers.round().await?);
            }
        }
        print(name, &writers, &without, &with);
    }
    cluster.stop_all().await;
    Ok(())
}

/// What one round came to.
struct Round {
    per_second: f64,
    /// Of single writes, in milliseconds: 99 in 100, 999 in 1000, all.
    within: [f64; 3],
    comparisons: u64,
}

struct Writers<C> {
    client: C,
    node: Node,
    callers: usize,
    entries: u64,
}

impl<C: Writes> Writers<C> {
    async fn round(&self) -> TestResult<Round> {
        let (stop, counts) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let next = Arc::new(AtomicU64::new(0));
        let writing: Vec<_> = (0..self.callers)
            .map(|_| {
                let (stop, counts, next) = (stop.clone(), counts.clone(), next.clone());
                let (client, entries, value) = (self.client.clone(), self.entries, value());
                tokio::spawn(async move {
                    let mut times = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let key = next.fetch_add(STRIDE, Ordering::Relaxed) % entries;
                        let began = Instant::now();
                        client.write(key, &value).await?;
                        if counts.load(Ordering::Relaxed) {
                            times.push(began.elapsed().as_secs_f64() * 1000.0);
                        }
                    }
                    Ok::<_, Error>(times)
                })
            })
            .collect();
        tokio::time::sleep(WARM_UP).await;
        let lasts = variable("BRAFT_BENCH_SECONDS").map_or(ROUND, Duration::from_secs_f64);
        counts.store(true, Ordering::Relaxed);
        let (began, mut compared, mut comparisons) = (Instant::now(), self.compared(), 0);
        while began.elapsed() < lasts {
            tokio::time::sleep(LOOK_EVERY).await;
            // A node that is at its state just now does not say.
            let now = self.compared();
            comparisons += u64::from(now > compared);
            compared = compared.max(now);
        }
        counts.store(false, Ordering::Relaxed);
        let took = began.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        let mut times = Vec::new();
        for caller in writing {
            times.extend(caller.await??);
        }
        times.sort_by(f64::total_cmp);
        if times.is_empty() {
            return Err("nothing was written in a round".into());
        }
        let within = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
        Ok(Round {
            per_second: times.len() as f64 / took,
            within: [within(0.99), within(0.999), within(1.0)],
            comparisons,
        })
    }

    /// Where the states were compared last.
    fn compared(&self) -> u64 {
        self.node.status().compared_index
    }
}

/// The four figures of a round.
fn figures(round: &Round) -> [f64; 4] {
    let [most, nearly_all, all] = round.within;
    [round.per_second, most, nearly_all, all]
}

fn medians(rounds: &[[f64; 4]]) -> [f64; 4] {
    std::array::from_fn(|figure| median(rounds.iter().map(|round| round[figure]).collect()))
}

fn print<C>(name: &str, writers: &Writers<C>, without: &[Round], with: &[Round]) {
    let count = |rounds: &[Round]| rounds.iter().map(|round| round.comparisons).sum::<u64>();
    println!(
        "\n{name} of {} entries, {} callers, {} pairs of rounds; {} comparisons in those with, {} in those \
         without",
        writers.entries,
        writers.callers,
        with.len(),
        count(with),
        count(without)
    );
    let head = ["writes/s", "99 %", "99.9 %", "longest"];
    println!(
        "{:<18} {:>10} {:>10} {:>10} {:>10}  (times in ms)",
        "", head[0], head[1], head[2], head[3]
    );
    let row = |name: &str, [rate, times @ ..]: [f64; 4]| {
        let [most, nearly_all, all] = times;
        println!("{name:<18} {rate:>10.0} {most:>10.2} {nearly_all:>10.2} {all:>10.2}");
    };
    let [without, with] =
        [without, with].map(|rounds| rounds.iter().map(figures).collect::<Vec<_>>());
    row("never compared", medians(&without));
    row("compared", medians(&with));
    let ratios = with.iter().zip(&without);
    let ratios = ratios.map(|(with, without)| std::array::from_fn(|n| with[n] / without[n]));
    let [rate, most, nearly_all, all] = medians(&ratios.collect::<Vec<_>>());
    println!(
        "{:<18} {rate:>10.2} {most:>10.2} {nearly_all:>10.2} {all:>10.2}",
        "median of ratios"
    );
}
