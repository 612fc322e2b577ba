//! A long log: what it takes on disk, and how long a restart takes.

use std::path::Path;
use std::time::{Duration, Instant};

use braft::testing::bench::Log;
use bytes::Bytes;
use load::braft::sample;

use super::tell;
use crate::ScaleArgs;
use crate::client::{Held, InMap};
use crate::cluster::{Environment, addresses, restart, start, wait_for, wait_for_leader};
use crate::table::{mib, print, seconds};

const VALUE_BYTES: usize = 16;
const KEYS: u64 = 10_000;
/// Entries of one batch, where the log is written to without a node around it.
const BATCH: u64 = 10_000;

const KEEP_ALL: Environment = &[
    ("BRAFT_SNAPSHOT_EVERY", "1000000000"),
    ("BRAFT_SNAPSHOT_BYTES", "1000000000000"),
];

pub(super) async fn measure(args: &ScaleArgs) -> Result<(), String> {
    let mut rows = Vec::new();
    for (what, environment) in [
        ("usual snapshots", &[] as Environment),
        ("no snapshot", KEEP_ALL),
    ] {
        tell(&format!("{} commands, {what}", args.log));
        let Written {
            entries,
            disk,
            back,
        } = node(args, environment).await?;
        rows.push([
            format!("node, {what}"),
            args.log.to_string(),
            entries.to_string(),
            mib(disk),
            seconds(back),
        ]);
    }
    tell(&format!("{} entries", args.log));
    let (below, entries) = (args.below(), args.log);
    let log = tokio::task::spawn_blocking(move || alone(&below, entries)).await;
    let Written {
        entries,
        disk,
        back,
    } = log.map_err(|error| error.to_string())??;
    rows.push([
        "log by itself".to_owned(),
        String::new(),
        entries.to_string(),
        mib(disk),
        seconds(back),
    ]);
    print(
        &format!(
            "Log: one node, commands with {VALUE_BYTES} bytes to {KEYS} keys; restart until it serves"
        ),
        ["what", "commands", "entries", "disk MiB", "restart s"],
        &rows,
    );
    Ok(())
}

struct Written {
    entries: u64,
    /// Bytes.
    disk: u64,
    /// From the start until the node serves, or the log can be read.
    back: Duration,
}

async fn node(args: &ScaleArgs, environment: Environment) -> Result<Written, String> {
    let mut cluster = start(&args.below(), 1, environment).await?;
    wait_for_leader(&mut cluster).await?;
    let client = InMap::connect(addresses(&cluster)).await?;
    let written = load::write_all(args.log, KEYS, VALUE_BYTES, "braft", &client).await;
    written.map_err(|error| error.to_string())?;
    let sampled = sample(&cluster).await;
    let entries = sampled.iter().find_map(|node| node.entries);
    let disk = cluster.disk_bytes().map_err(|error| error.to_string())?;
    cluster.kill(0).await.map_err(|error| error.to_string())?;
    let began = Instant::now();
    restart(&mut cluster, 0, environment)?;
    wait_for(&mut cluster, 0).await?;
    let back = began.elapsed();
    cluster.end().await;
    Ok(Written {
        entries: entries.ok_or("the node does not tell how many entries it wrote")?,
        disk: disk.first().copied().unwrap_or_default(),
        back,
    })
}

/// Entries of their own, in a log without a node around it.
fn alone(below: &Path, entries: u64) -> Result<Written, String> {
    let directory = tempfile::tempdir_in(below).map_err(|error| error.to_string())?;
    let mut log = Log::open(directory.path());
    log.keep_all();
    let payload = Bytes::from(vec![b'v'; VALUE_BYTES]);
    while log.last_index() < entries {
        let count = BATCH.min(entries - log.last_index());
        log.append(&vec![payload.clone(); count as usize]);
    }
    drop(log);
    let disk = load::blocks_below(directory.path()).map_err(|error| error.to_string())?;
    let began = Instant::now();
    let log = Log::open(directory.path());
    let back = began.elapsed();
    match log.last_index() {
        last if last == entries => Ok(Written {
            entries,
            disk,
            back,
        }),
        last => Err(format!("the log ends at {last}, not at {entries}")),
    }
}
