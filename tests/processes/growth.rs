//! Many commands, snapshots, and a node that comes late.

use std::time::Instant;

use braft::testing::TestResult;
use serde_json::Value;

use crate::nodes::{Nodes, disk_bytes, resident_bytes};
use crate::writers::Writers;

const COMMANDS: u64 = 100_000;
const SNAPSHOT_EVERY: u64 = 10_000;
const KEEP_LOG_ENTRIES: u64 = 2_000;
const SEGMENT_BYTES: u64 = 2 << 20;
const CONNECTIONS: usize = 4;
const WRITERS: usize = 1024;
const MIB: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_an_empty_disk_catches_up_after_many_commands_and_disks_stay_bounded() {
    let run = async || -> TestResult {
        let settings = [
            ("BRAFT_SNAPSHOT_EVERY", SNAPSHOT_EVERY),
            ("BRAFT_KEEP_LOG_ENTRIES", KEEP_LOG_ENTRIES),
            ("BRAFT_SEGMENT_BYTES", SEGMENT_BYTES),
        ];
        let mut nodes = Nodes::start(3, &settings).await?;
        let connections = nodes.clients(CONNECTIONS).await?;
        let start = Instant::now();
        let clients = connections.iter().cycle().take(WRITERS).cloned();
        let writers = Writers::start(clients.collect());
        for _ in 0..10 {
            writers.progress(COMMANDS / 10).await?;
            println!("{:?} {}", start.elapsed(), figures(&nodes, 0).await?);
        }
        let written = writers.stop().await?;
        println!("{written}, in {:?}", start.elapsed());

        let late = nodes.add()?;
        let target = log(&nodes, nodes.leader().await?).await?["applied_index"].as_u64();
        nodes
            .wait("the late node to catch up", || async {
                let log = log(&nodes, late).await.ok()?;
                (log["applied_index"].as_u64() >= target).then_some(())
            })
            .await?;
        written.check(&connections[0]).await?;
        for node in 0..=late {
            println!("node {node}: {}", figures(&nodes, node).await?);
        }
        Ok(())
    };
    run().await.unwrap_or_else(|error| panic!("{error}"));
}

/// What a node says of its log.
async fn log(nodes: &Nodes, node: usize) -> TestResult<Value> {
    let overview = nodes.overview(node).await.ok_or("no answer")?;
    let all = overview["nodes"].as_array().cloned().unwrap_or_default();
    let address = &nodes.addresses()[node];
    let own = all.iter().find(|other| other["address"] == **address);
    Ok(own.ok_or("it does not know itself")?["status"]["log"].clone())
}

async fn figures(nodes: &Nodes, node: usize) -> TestResult<String> {
    let memory = resident_bytes(nodes.pid(node).ok_or("it is down")?)?;
    let directory = nodes.data_dir(node);
    let log_bytes = disk_bytes(&directory.join("log"))?;
    let snapshot_bytes = disk_bytes(&directory.join("snapshots"))?;
    let log = log(nodes, node).await?;
    Ok(format!(
        "{} MiB of memory, {} MiB of log, {} MiB of snapshots; snapshot at {}, purged up to {}, \
         applied up to {}",
        memory / MIB,
        log_bytes / MIB,
        snapshot_bytes / MIB,
        log["snapshot_index"],
        log["purged_index"],
        log["applied_index"]
    ))
}
