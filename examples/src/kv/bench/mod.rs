//! Load on a cluster, and what it does under it.
//!
//! | file | what it holds |
//! |---|---|
//! | `args.rs` | the options |
//! | `target.rs` | the service as the load sees it |

mod args;
mod target;

use std::error::Error;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use load::{Figures, Nodes};

pub(crate) use self::args::BenchArgs;
use self::target::KvTarget;
use crate::cluster::Scratch;
use crate::signals::Signals;

/// Runs the load, and prints the figures; a signal ends it.
pub(crate) async fn run(args: BenchArgs) -> Result<ExitCode, Box<dyn Error>> {
    let mut signals = Signals::new()?;
    let measured = tokio::select! {
        measured = measure(&args) => Some(measured?),
        () = signals.next() => None,
    };
    let Some(figures) = measured else {
        return Ok(ExitCode::FAILURE);
    };
    let text = match args.load.json {
        true => load::json(&figures),
        false => load::table(&figures),
    };
    writeln!(io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(args: &BenchArgs) -> Result<Vec<Figures>, Box<dyn Error>> {
    if !args.target.is_empty() {
        let http = args.http_address();
        return Ok(put_under_load(args, &args.target, http).await?);
    }
    let place = args.place();
    let scratch = Scratch::start(args.nodes, &place).await?;
    if is_in_memory(scratch.directory()) {
        eprintln!(
            "warning: {} is in memory, where a sync costs nothing; choose a place on a disk with \
             --data-dir",
            place.display()
        );
    }
    let measured = put_under_load(args, &scratch.addresses(), scratch.http_address()).await;
    scratch.stop().await;
    Ok(measured?)
}

async fn put_under_load(
    args: &BenchArgs,
    addresses: &[String],
    http: Option<String>,
) -> Result<Vec<Figures>, load::Failed> {
    let mut targets = Vec::new();
    for _ in 0..args.load.connections {
        targets.push(KvTarget::connect(addresses).await?);
    }
    load::fill(&args.load, &targets[0]).await?;
    let nodes = Nodes::new(http);
    let figures = load::run_all(&args.load, "kv", &targets, async || nodes.sample().await);
    Ok(figures.await)
}

/// Whether a directory is on a file system in memory.
fn is_in_memory(directory: &Path) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    rustix::fs::statfs(directory).is_ok_and(|found| found.f_type as u64 == TMPFS)
}
