//! How often a call allocates, and how much: clients, node and log in this process, all of it counted.
//!
//! `cargo bench -p tests --bench allocations`. One node, 256 callers (`BRAFT_BENCH_CLIENTS`), values of
//! 256 B; calls handed to the node directly, and over gRPC. A figure is of one call, on the average:
//! what calls share in frames and entries counts a little for each.

#![allow(unreachable_pub)] // services are public in life

#[allow(dead_code, reason = "not every benchmark uses all of it")]
mod common;

use std::alloc::System;

use braft::testing::{Cluster, TestNode, TestResult};
use common::{Store, StoreClient};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CALLERS: [u64; 1] = [256];
/// Calls of each caller before those that are counted.
const WARM_UP: u64 = 200;
const CALLS: u64 = 1_000;
/// Bytes of a log segment: the product's own, not the small ones of tests.
const SEGMENT_BYTES: u64 = 64 << 20;

#[derive(Clone, Copy)]
enum Kind {
    Put,
    Get,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime
        .block_on(measure())
        .map_err(|error| error.to_string().into())
}

async fn measure() -> TestResult {
    let cluster =
        Cluster::<Store>::start_with(1, |config| config.segment_bytes(SEGMENT_BYTES)).await?;
    let node = cluster.node(TestNode(0))?;
    let head = ["allocations", "grown", "bytes"];
    println!(
        "{:<28} {:>12} {:>12} {:>12}",
        "for each call", head[0], head[1], head[2]
    );
    for callers in common::client_counts(&CALLERS) {
        let clients = [
            ("in process", node.client::<Store>()),
            ("over gRPC", cluster.client()),
        ];
        for (way, client) in clients {
            for (name, kind) in [("put", Kind::Put), ("get", Kind::Get)] {
                run(&client, kind, callers, WARM_UP).await?;
                let region = Region::new(MEMORY);
                run(&client, kind, callers, CALLS).await?;
                let change = region.change();
                let each = |count: usize| count as f64 / (callers * CALLS) as f64;
                println!(
                    "{:<28} {:>12.1} {:>12.1} {:>12.0}",
                    format!("{name} {way}, callers: {callers}"),
                    each(change.allocations),
                    each(change.reallocations),
                    each(change.bytes_allocated)
                );
            }
        }
    }
    cluster.stop_all().await;
    Ok(())
}

/// Callers who each wait for their answer before they call again.
async fn run(client: &StoreClient, kind: Kind, callers: u64, calls: u64) -> TestResult {
    let running: Vec<_> = (0..callers)
        .map(|caller| {
            let (client, value) = (client.clone(), common::value());
            tokio::spawn(async move {
                for n in 0..calls {
                    let key = common::key(caller, n);
                    match kind {
                        Kind::Put => client.put(key, &value).await?,
                        Kind::Get => drop(client.get(key).await?),
                    }
                }
                Ok::<_, braft::Error>(())
            })
        })
        .collect();
    for caller in running {
        caller.await??;
    }
    Ok(())
}
