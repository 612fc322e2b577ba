//! Clusters of more and more nodes.

use load::Operation;

use super::{measured, tell, usual};
use crate::ScaleArgs;
use crate::client::{Held, InMap};
use crate::cluster::{addresses, start, wait_for_leader};
use crate::table::{known, ms, print};

const CLIENTS: u32 = 256;

pub(super) async fn measure(args: &ScaleArgs) -> Result<(), String> {
    let mut rows = Vec::new();
    for nodes in &args.nodes {
        tell(&format!("a cluster of {nodes}"));
        // All of them are to vote.
        let mut cluster = start(&args.below(), *nodes, &[("BRAFT_MAX_VOTERS", "7")]).await?;
        wait_for_leader(&mut cluster).await?;
        let client = InMap::connect(addresses(&cluster)).await?;
        let load = usual(args, &[Operation::Put, Operation::Get], CLIENTS);
        for figures in measured(&load, client, &cluster).await? {
            rows.push([
                nodes.to_string(),
                figures.operation.to_string(),
                format!("{:.0}", figures.per_second),
                ms(figures.p50_us),
                ms(figures.p99_us),
                known(figures.node_cpu_us, |micros| format!("{micros:.1}")),
                known(figures.entries_per_fsync, |entries| format!("{entries:.1}")),
            ]);
        }
        cluster.end().await;
    }
    print(
        &format!("Nodes: {CLIENTS} clients, values of 256 bytes, all nodes vote"),
        [
            "nodes",
            "operation",
            "per second",
            "p50 ms",
            "p99 ms",
            "node CPU us/op",
            "entries/fsync",
        ],
        &rows,
    );
    Ok(())
}
