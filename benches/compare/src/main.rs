//! braft beside other replicated stores: clusters of three processes on loopback, the same load in
//! turns, and the ratio in each round.
//!
//! | file | what it holds |
//! |---|---|
//! | `systems/` | how each store is found, started, and called |
//! | `store.rs` | the node of braft: a map from text to text |
//! | `parts/` | what is measured: load, starts, lost leaders, memory |
//! | `rounds.rs` | the turns |
//! | `report.rs` | medians, ranges and ratios |
//! | `picture.rs` | the same to look at |

mod parts;
mod picture;
mod report;
mod rounds;
mod store;
mod systems;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use load::LoadArgs;

use crate::parts::Part;
use crate::systems::System;

/// A node's threads free what others have allocated: this one gives it to all of them anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// braft beside other replicated stores: three nodes each on loopback, the same load in turns.
///
/// What is not installed is skipped, with a line that says how to install it.
#[derive(Debug, Parser)]
#[command(name = "compare", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    compare: CompareArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One node of braft, configured by the environment
    #[command(hide = true)]
    Node,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    load: LoadArgs,
    /// What is compared; the first is what the others are set against
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME,…")]
    #[arg(default_values = ["braft", "etcd", "pysyncobj", "hiqlite"])]
    systems: Vec<System>,
    /// What is measured
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART,…")]
    #[arg(default_values = ["load", "start", "failover", "memory"])]
    part: Vec<Part>,
    /// How often each takes its turn
    #[arg(long, default_value_t = 3, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How often each loses its leader by a kill
    #[arg(long, default_value_t = 10, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    failovers: u32,
    /// How much is written before memory and disk are looked at
    #[arg(long, default_value_t = 1_000_000, value_name = "WRITES")]
    memory_writes: u64,
    /// Where to write a picture of the figures, as SVG
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// Where the nodes keep their data while it runs [default: the directory for temporary files]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.command {
        Some(Command::Node) => store::run().await.map_err(|error| error.to_string()),
        None => compare(&cli.compare).await.map(|()| ExitCode::SUCCESS),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

async fn compare(args: &CompareArgs) -> Result<(), String> {
    let rounds = tokio::select! {
        rounds = rounds::run(args) => rounds?,
        // Dropping the clusters kills their processes and removes their files.
        _ = tokio::signal::ctrl_c() => return Err("interrupted".to_owned()),
    };
    if let Some(path) = &args.picture {
        picture::write(&rounds, path)?;
    }
    let text = match args.load.json {
        true => rounds.to_json() + "\n",
        false => report::text(&rounds),
    };
    let printed = io::stdout().write_all(text.as_bytes());
    printed.map_err(|error| format!("the figures cannot be printed: {error}"))
}
