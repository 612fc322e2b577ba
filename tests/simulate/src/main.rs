//! Plays many seeds of simulated clusters: `cargo run --release -p simulate -- --help`.

#![allow(unreachable_pub)]

#[cfg(feature = "planted")]
mod planted;
mod stock;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use braft::testing::Passed;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use stock::check_of;

/// Plays seeds of simulated clusters under faults, and judges each by the plain struct.
#[derive(Parser)]
struct Options {
    /// How many seeds to play at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Stop after so many minutes, whatever is left.
    #[arg(long)]
    minutes: Option<u64>,
    /// Simulated seconds of each seed.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Nodes of each cluster, before others join.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// Seeds played at once.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    threads: u64,
    /// Plant one mistake after the other into the nodes, and play seeds until each is caught.
    #[cfg(feature = "planted")]
    #[arg(long)]
    planted: bool,
    /// Of the planted mistakes only those whose names contain this.
    #[cfg(feature = "planted")]
    #[arg(long, requires = "planted")]
    only: Option<String>,
}

#[derive(Default)]
struct Totals {
    seeds: AtomicUsize,
    calls: AtomicUsize,
    faults: AtomicUsize,
    simulated_ms: AtomicU64,
}

impl Totals {
    fn add(&self, passed: &Passed) {
        self.seeds.fetch_add(1, Ordering::Relaxed);
        self.calls.fetch_add(passed.calls, Ordering::Relaxed);
        self.faults.fetch_add(passed.faults, Ordering::Relaxed);
        let ms = u64::try_from(passed.lasted.as_millis()).unwrap_or(u64::MAX);
        self.simulated_ms.fetch_add(ms, Ordering::Relaxed);
    }

    fn text(&self) -> String {
        let seconds = self.simulated_ms.load(Ordering::Relaxed) as f64 / 1000.0;
        format!(
            "{} seeds passed: {seconds:.0} simulated seconds ({:.2} h), {} calls, {} faults",
            self.seeds.load(Ordering::Relaxed),
            seconds / 3600.0,
            self.calls.load(Ordering::Relaxed),
            self.faults.load(Ordering::Relaxed),
        )
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    #[cfg(feature = "planted")]
    if options.planted {
        return planted::hunt(&options);
    }
    let began = Instant::now();
    let until = options
        .minutes
        .map(|minutes| began + Duration::from_secs(60 * minutes));
    let bar = ProgressBar::new(options.seeds);
    let style =
        ProgressStyle::with_template("{bar:30} {pos}/{len} seeds, {elapsed}, {eta} left, {msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    let totals = Arc::new(Totals::default());
    let next = AtomicU64::new(options.first);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..options.threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let is_over = until.is_some_and(|until| Instant::now() >= until);
                    if seed >= options.first.saturating_add(options.seeds) || is_over {
                        return;
                    }
                    if let Err(error) = play(&options, seed, totals.clone()) {
                        let text = format!("seed {seed}: {error}");
                        bar.suspend(|| println!("{text}\n"));
                        let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                        failures.push(seed);
                    }
                    bar.inc(1);
                    bar.set_message(totals.text());
                }
            });
        }
    });
    bar.finish_and_clear();
    println!("{} in {:.0?}", totals.text(), began.elapsed());
    let mut failures = failures
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    failures.sort_unstable();
    if failures.is_empty() {
        return ExitCode::SUCCESS;
    }
    let (nodes, seconds) = (options.nodes, options.seconds);
    println!(
        "failed: {failures:?}; one again: cargo run --release -p simulate -- --nodes {nodes} --seconds \
         {seconds} --seeds 1 --first SEED"
    );
    ExitCode::FAILURE
}

fn play(options: &Options, seed: u64, totals: Arc<Totals>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| error.to_string())?;
    let checked = check_of(seed, options.nodes, options.seconds)
        .first_seed(seed)
        .seeds(1)
        .after_each(move |passed| totals.add(passed))
        .run();
    runtime.block_on(checked).map_err(|error| error.to_string())
}
