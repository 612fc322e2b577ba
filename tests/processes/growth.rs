//! Many commands, snapshots, and a node that comes late.

use std::fmt;
use std::time::Instant;

use braft::Client;
use braft::testing::TestResult;
use serde_json::Value;
use tests::LedgerClient;

use crate::nodes::{Nodes, disk_bytes, resident_bytes};
use crate::writers::Writers;

const COMMANDS: u64 = 100_000;
/// Small, so that a short run sees several snapshots. The number of entries plays no part here:
/// under this load each of them carries some 250 commands.
const SNAPSHOT_BYTES: u64 = MIB;
const KEEP_LOG_ENTRIES: u64 = 10;
const SEGMENT_BYTES: u64 = 2 * MIB;
const CONNECTIONS: usize = 4;
const WRITERS: usize = 1024;
const MIB: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_an_empty_disk_catches_up_after_many_commands_and_disks_stay_bounded() {
    let run = async || -> TestResult {
        let settings = [
            ("BRAFT_SNAPSHOT_BYTES", SNAPSHOT_BYTES),
            ("BRAFT_KEEP_LOG_ENTRIES", KEEP_LOG_ENTRIES),
            ("BRAFT_SEGMENT_BYTES", SEGMENT_BYTES),
        ];
        let mut nodes = Nodes::start(3, &settings).await?;
        let connections = nodes.clients(CONNECTIONS).await?;
        let start = Instant::now();
        let clients = connections.iter().cycle().take(WRITERS).cloned();
        let writers = Writers::start(clients.collect());
        for tenth in 1..=10 {
            writers.progress(COMMANDS / 10).await?;
            for node in 0..3 {
                let figures = figures(&nodes, node).await?;
                println!("{tenth}0 %, {:?}, node {node}: {figures}", start.elapsed());
                figures.check();
            }
        }
        let written = writers.stop().await?;
        println!("{written}, in {:?}", start.elapsed());

        let leader = figures(&nodes, nodes.leader().await?).await?;
        assert!(
            leader.purged > 0,
            "the late node could take the log: {leader}"
        );
        let late = nodes.add()?;
        nodes
            .wait("the late node to catch up", || async {
                let late = figures(&nodes, late).await.ok()?;
                (late.applied >= leader.applied).then_some(())
            })
            .await?;
        for node in 0..=late {
            let figures = figures(&nodes, node).await?;
            println!("at the end, node {node}: {figures}");
            figures.check();
        }
        written.check(&connections[0]).await?;
        // What it caught up with is the whole state.
        let count = LedgerClient::connect([&nodes.addresses()[late]])
            .await?
            .count();
        assert_eq!(count.local().await?, connections[0].count().await?);
        Ok(())
    };
    run().await.unwrap_or_else(|error| panic!("{error}"));
}

/// What a node takes, and how far it is.
struct Figures {
    memory_bytes: u64,
    log_bytes: u64,
    snapshot_bytes: u64,
    snapshot: u64,
    purged: u64,
    applied: u64,
}

impl Figures {
    /// Far above what is seen, and far below what it would be if nothing were ever let go.
    fn check(&self) {
        assert!(self.memory_bytes < 256 * MIB, "{self}");
        assert!(self.log_bytes < 20 * MIB, "{self}");
        assert!(self.snapshot_bytes < 16 * MIB, "{self}");
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / MIB as f64;
        write!(
            f,
            "memory {:.0} MiB, log {:.0} MiB, snapshots {:.1} MiB; snapshot at {}, purged up to \
             {}, applied up to {}",
            mib(self.memory_bytes),
            mib(self.log_bytes),
            mib(self.snapshot_bytes),
            self.snapshot,
            self.purged,
            self.applied
        )
    }
}

async fn figures(nodes: &Nodes, node: usize) -> TestResult<Figures> {
    let directory = nodes.data_dir(node);
    let log = log(nodes, node).await?;
    let number = |name: &str| log[name].as_u64().unwrap_or_default();
    Ok(Figures {
        memory_bytes: resident_bytes(nodes.pid(node).ok_or("it is down")?)?,
        log_bytes: disk_bytes(&directory.join("log"))?,
        snapshot_bytes: disk_bytes(&directory.join("snapshots"))?,
        snapshot: number("snapshot_index"),
        purged: number("purged_index"),
        applied: number("applied_index"),
    })
}

/// What a node says of its log.
async fn log(nodes: &Nodes, node: usize) -> TestResult<Value> {
    let overview = nodes.overview(node).await.ok_or("no answer")?;
    let all = overview["nodes"].as_array().cloned().unwrap_or_default();
    let address = &nodes.addresses()[node];
    let own = all.iter().find(|other| other["address"] == **address);
    Ok(own.ok_or("it does not know itself")?["status"]["log"].clone())
}
