//! Many clients of one node.

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use load::braft::sample;
use load::{LoadArgs, Operation};
use rustix::process::{Resource, getrlimit, setrlimit};

use super::{tell, usual, without_errors};
use crate::ScaleArgs;
use crate::client::{Held, InMap};
use crate::cluster::{Environment, addresses, start, wait_for_leader};
use crate::table::{known, mib, ms, print};

const ENVIRONMENT: Environment = &[("BRAFT_MAX_CONNECTIONS", "100000")];
/// Connections that are made at once.
const CONNECTING: usize = 32;
/// Files that this process needs beside its connections.
const OTHER_FILES: u64 = 100;

pub(super) async fn measure(args: &ScaleArgs) -> Result<(), String> {
    let clients = args.clients;
    allow_files(clients as u64 + OTHER_FILES)?;
    tell(&format!("{clients} clients of one node"));
    let mut cluster = start(&args.below(), 1, ENVIRONMENT).await?;
    wait_for_leader(&mut cluster).await?;
    let rss = async |cluster: &load::Cluster| {
        sample(cluster)
            .await
            .first()
            .and_then(|node| node.rss_bytes)
    };
    let before = rss(&cluster).await;
    let each = stream::iter(0..clients).map(|_| InMap::connect(addresses(&cluster)));
    let connected: Vec<_> = each.buffer_unordered(CONNECTING).try_collect().await?;
    let load = usual(args, &[Operation::Put, Operation::Get], 1);
    load::fill(&load, &connected[0])
        .await
        .map_err(|error| error.to_string())?;
    let mut rows = Vec::new();
    // A few of them call at a time, and then all.
    for calling in [256.min(clients), clients] {
        let load = LoadArgs {
            clients: vec![u32::try_from(calling).map_err(|_| "too many clients")?],
            ..load.clone()
        };
        let sample = async || sample(&cluster).await;
        for figures in load::run_all(&load, "braft", &connected, sample).await {
            without_errors(&figures)?;
            rows.push([
                calling.to_string(),
                figures.operation.to_string(),
                format!("{:.0}", figures.per_second),
                ms(figures.p50_us),
                ms(figures.p99_us),
                known(figures.rss_bytes.first().copied(), mib),
            ]);
        }
    }
    print(
        &format!(
            "Clients: {clients} connected to one node, a connection and a session each; {} MiB resident \
             before they came",
            known(before, mib)
        ),
        [
            "calling",
            "operation",
            "per second",
            "p50 ms",
            "p99 ms",
            "RSS MiB",
        ],
        &rows,
    );
    cluster.end().await;
    Ok(())
}

/// Lets this process, and the nodes it starts, open so many files.
fn allow_files(files: u64) -> Result<(), String> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= files) {
        return Ok(());
    }
    limit.current = Some(limit.maximum.map_or(files, |most| most.min(files)));
    setrlimit(Resource::Nofile, limit).map_err(|error| error.to_string())?;
    match limit.current {
        Some(current) if current < files => Err(format!(
            "the system lets a process open {current} files, and {files} are needed: ask for fewer \
             with --clients, or raise it (ulimit -Hn)"
        )),
        _ => Ok(()),
    }
}
