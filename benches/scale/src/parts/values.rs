//! Values that get larger.

use load::{LoadArgs, Operation};

use super::{measured, tell, usual};
use crate::ScaleArgs;
use crate::client::{Held, InMap};
use crate::cluster::{addresses, start, wait_for_leader};
use crate::table::{known, mib, ms, print};

const NODES: usize = 3;
const CLIENTS: usize = 64;
/// What all clients may ask for at once: a node refuses a caller with more answers than some twice this.
const AT_ONCE_BYTES: usize = 16 << 20;
/// What all values together may have: there are fewer keys if they are large.
const HELD_BYTES: usize = 64 << 20;

pub(super) async fn measure(args: &ScaleArgs) -> Result<(), String> {
    let mut rows = Vec::new();
    for bytes in &args.value_bytes {
        tell(&format!("values of {bytes} bytes"));
        let mut cluster = start(&args.below(), NODES, &[]).await?;
        wait_for_leader(&mut cluster).await?;
        let client = InMap::connect(addresses(&cluster)).await?;
        let clients = (AT_ONCE_BYTES / bytes).clamp(1, CLIENTS);
        let load = LoadArgs {
            value_bytes: *bytes,
            keys: (HELD_BYTES / bytes).clamp(1, 10_000) as u64,
            ..usual(args, &[Operation::Put, Operation::Get], clients as u32)
        };
        for figures in measured(&load, client, &cluster).await? {
            rows.push([
                bytes.to_string(),
                clients.to_string(),
                figures.operation.to_string(),
                format!("{:.0}", figures.per_second),
                format!(
                    "{:.1}",
                    figures.per_second * *bytes as f64 / f64::from(1 << 20)
                ),
                ms(figures.p50_us),
                ms(figures.p99_us),
                known(figures.rss_bytes.iter().max().copied(), mib),
            ]);
        }
        cluster.end().await;
    }
    print(
        &format!("Values: {NODES} nodes"),
        [
            "value bytes",
            "clients",
            "operation",
            "per second",
            "MiB/s",
            "p50 ms",
            "p99 ms",
            "RSS MiB, largest node",
        ],
        &rows,
    );
    Ok(())
}
