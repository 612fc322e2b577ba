//! The demo: a replicated map of maps over HTTP.
//!
//! | file | what it holds |
//! |---|---|
//! | `service.rs` | the service: what is replicated |
//! | `http.rs`, `params.rs` | `GET|POST|DELETE /kv` on each node |
//! | `node.rs` | one node, from the environment |
//! | `cluster/` | several nodes on this machine, each a process of its own |
//! | `bench/` | load on such a cluster, and what it does under it |
//! | `args.rs`, `signals.rs` | the command line, what asks to stop |

mod args;
mod bench;
mod cluster;
mod http;
mod node;
mod params;
mod service;
mod signals;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command};

/// A node's threads free what others have allocated: this one gives it to all of them anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Some(Command::Node(args)) => node::run(args).await,
        Some(Command::Cluster(args)) => cluster::run(args).await,
        Some(Command::Bench(args)) => bench::run(args).await,
        None => cluster::run(cli.cluster).await,
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        let mut source = error.source();
        while let Some(cause) = source {
            eprintln!("  because: {cause}");
            source = cause.source();
        }
        ExitCode::FAILURE
    })
}
