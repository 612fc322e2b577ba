//! Real nodes under real faults: processes on hosts, disks and a network that fail.
//!
//! `cargo run --release -p chaos -- --help`; `docs/chaos.md` says what each fault is.
//!
//! | file | what it holds |
//! |---|---|
//! | `run.rs` | one run, from the start of the cluster to the verdict |
//! | `nemesis.rs`, `fault.rs` | which fault comes when; the kinds |
//! | `cluster.rs`, `disk.rs`, `node.rs` | the nodes, their disks, and this program as a node |
//! | `tools.rs`, `preload.c`, `power.c` | what the machine allows, and what is built for it |
//! | `service.rs`, `clients.rs`, `history.rs` | what is served, who calls, and what they saw |
//! | `verdict.rs` | whether one copy could have answered that |
//! | `report.rs` | the table |

#![allow(unreachable_pub)]

mod clients;
mod cluster;
mod disk;
mod fault;
mod history;
mod nemesis;
mod node;
mod report;
mod run;
mod service;
mod tools;
mod verdict;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use crate::fault::Fault;
use crate::history::Recording;
use crate::run::{Shown, Size};
use crate::tools::Tools;

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Runs nodes as processes, lets faults overlap, and judges what the clients saw.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    /// How long faults come.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// The same in seconds.
    #[arg(long, conflicts_with = "minutes")]
    seconds: Option<u64>,
    #[arg(long, default_value_t = 5)]
    nodes: usize,
    #[arg(long, default_value_t = 10)]
    clients: u64,
    /// Decides which fault comes when and where; a run is not the same again for it.
    #[arg(long)]
    seed: Option<u64>,
    /// These faults alone.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Fault>,
    /// A run in which a fault comes less often is rejected.
    #[arg(long, default_value_t = 3)]
    at_least: usize,
    /// So many times the nodes' default timers, where the machine is busy with other things.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=20))]
    timers: u32,
    /// Lets syncs do nothing, to see whether that is found out: such a run has to fail. Of use with
    /// `--only power-cut,power-cut-all,fail-sync`.
    #[arg(long)]
    lying_disks: bool,
    /// Where to keep what the clients saw and the nodes logged; a new directory unless given. It is
    /// removed if all is well, unless it is given.
    #[arg(long)]
    keep: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// A node, as the harness starts it.
    #[command(hide = true)]
    Node,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(Command::Node) = options.command {
        return node::run();
    }
    match harness(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the run could not be made: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Makes a run; whether all is well.
fn harness(options: &Options) -> io::Result<bool> {
    let faults = match options.only.as_slice() {
        [] => Fault::value_variants(),
        only => only,
    };
    let length = match options.seconds {
        Some(seconds) => Duration::from_secs(seconds),
        None => Duration::from_secs(60 * options.minutes),
    };
    let seed = options.seed.unwrap_or_else(|| {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        since.as_secs()
    });
    let directory = tempfile::Builder::new().prefix("chaos-").tempdir()?;
    let directory = match &options.keep {
        Some(keep) => {
            std::fs::create_dir_all(keep)?;
            keep.canonicalize()?
        }
        None => directory.keep(),
    };
    let tools = Tools::find(&directory, faults)?;
    let size = Size {
        nodes: options.nodes,
        clients: options.clients,
        length,
        seed,
        timers: options.timers,
        lying: options.lying_disks,
    };
    println!(
        "{} nodes, {} clients, {length:?} of faults, {} times the default timers, seed {seed}",
        size.nodes, size.clients, size.timers
    );
    print!("{}", report::skipped(&tools));
    let mut progress = Progress::new(length);
    let shown = run::run(&size, &tools, faults, &directory, &mut |recording, now| {
        progress.tell(recording, now);
    });
    progress.bar.finish_and_clear();
    let shown = shown.inspect_err(|_| eprintln!("logs are in {}", directory.display()))?;
    let able: Vec<_> = faults
        .iter()
        .filter(|fault| !tools.lacks(**fault))
        .copied()
        .collect();
    let is_well = conclude(&shown, &able, options.at_least);
    if is_well && options.keep.is_none() {
        std::fs::remove_dir_all(&directory)?;
    } else {
        println!("histories and logs are in {}", directory.display());
    }
    Ok(is_well)
}

/// Prints the table and the verdict.
fn conclude(shown: &Shown, faults: &[Fault], at_least: usize) -> bool {
    println!(
        "\n{}\n",
        report::table(&shown.outcome, faults, &shown.acknowledged)
    );
    let (lost, late) = shown.harmed;
    println!(
        "{} writes acknowledged, {} unknown, {} calls refused, {} reads answered, {} events; \
         {lost} frames lost, {late} late",
        shown.acknowledged.len(),
        shown.unknown,
        shown.refused,
        shown.reads,
        shown.events
    );
    let recoveries = &shown.outcome.recoveries;
    if let Some(longest) = recoveries.iter().max() {
        println!(
            "{} times all faults ended: the next write was acknowledged within {:.2} s",
            recoveries.len(),
            longest.as_secs_f64()
        );
    }
    print!("{}", report::idle(&shown.outcome));
    if shown.gapped > 0 {
        println!(
            "{} subscribers were told that they had missed events: of them those they got were judged",
            shown.gapped
        );
    }
    let seldom = report::too_seldom(&shown.outcome, faults, at_least);
    for fault in &seldom {
        println!("rejected: {fault} came less than {at_least} times");
    }
    for wrong in &shown.wrong {
        println!("WRONG: {wrong}");
    }
    if shown.wrong.is_empty() && seldom.is_empty() {
        println!("nothing lost, nothing stale, nothing doubled; all replicas are equal");
        return true;
    }
    false
}

/// The bar, or lines where there is no terminal.
struct Progress {
    bar: ProgressBar,
    length: Duration,
    next_line: Instant,
}

impl Progress {
    fn new(length: Duration) -> Self {
        let bar = ProgressBar::new(length.as_secs());
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} s, {msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Progress {
            bar,
            length,
            next_line: Instant::now() + LINE_EVERY,
        }
    }

    fn tell(&mut self, recording: &Recording, now: &str) {
        let count = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        let text = format!(
            "{} writes, {} reads, {} failed; {now}",
            count(&recording.acknowledged),
            count(&recording.reads),
            count(&recording.failed)
        );
        let elapsed = recording.start.elapsed().as_secs();
        self.bar.set_position(elapsed.min(self.length.as_secs()));
        if !io::stderr().is_terminal() && Instant::now() >= self.next_line {
            self.next_line = Instant::now() + LINE_EVERY;
            println!("{elapsed}/{} s, {text}", self.length.as_secs());
        }
        self.bar.set_message(text);
    }
}
