//! How the cost of braft grows: with the nodes of a cluster, the size of values, what a service holds,
//! the length of the log, and the clients of one node.
//!
//! `cargo run --release -p scale`; `--part` chooses, `--help` says what else.
//!
//! | file | what it holds |
//! |---|---|
//! | `node.rs` | the node: two services that hold values, one in a map of `braft::collections` |
//! | `client.rs` | their clients |
//! | `cluster.rs` | clusters of such nodes |
//! | `parts/` | what is measured |
//! | `table.rs` | the figures as tables |

mod client;
mod cluster;
mod node;
mod parts;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::parts::Part;

/// A node's threads free what others have allocated: this one gives it to all of them anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How the cost of braft grows: with nodes, values, state, log and clients.
#[derive(Debug, Parser)]
#[command(name = "scale", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    scale: ScaleArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One node, configured by the environment
    #[command(hide = true)]
    Node,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ScaleArgs {
    /// What is measured
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART,…")]
    #[arg(default_values = ["nodes", "values", "state", "log", "clients"])]
    part: Vec<Part>,
    /// How long each load is measured, in seconds
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// The sizes of a cluster
    #[arg(long, value_delimiter = ',', default_values = ["1", "3", "5", "7"], value_name = "N,…")]
    nodes: Vec<usize>,
    /// The sizes of a value
    #[arg(long, value_delimiter = ',', value_name = "BYTES,…")]
    #[arg(default_values = ["16", "256", "4096", "65536", "1000000"])]
    value_bytes: Vec<usize>,
    /// How much a service holds
    #[arg(long, value_delimiter = ',', default_values = ["10", "100", "1024"], value_name = "MIB,…")]
    state_mib: Vec<u64>,
    /// How many commands are in a log, and how many entries in another
    #[arg(long, default_value_t = 10_000_000, value_name = "N")]
    log: u64,
    /// How many clients are connected to one node
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    clients: usize,
    /// Where the nodes keep their data while it runs [default: the directory for temporary files]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl ScaleArgs {
    fn below(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(std::env::temp_dir)
    }

    fn measured(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.command {
        Some(Command::Node) => node::run().await.map_err(|error| error.to_string()),
        None => tokio::select! {
            measured = parts::measure(&cli.scale) => measured.map(|()| ExitCode::SUCCESS),
            // Dropping the clusters kills their processes and removes their files.
            _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
        },
    };
    ended.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}
