//! What it costs that a command runs at most once: durable writes of 256 B, with sessions and without.
//!
//! `cargo bench -p tests --bench exactly_once`. One node, clients in its process: nothing else takes so
//! small a share of a command's way. With and without take turns; each pair gives one ratio.

#![allow(unreachable_pub)] // services are public in life

mod common;

use braft::testing::{Cluster, TestNode, TestResult, without_sessions};
use common::{Rates, Store, Writer};

const CLIENTS: [u64; 2] = [1, 256];
/// Bytes of a log segment: the product's own, not the small ones of tests.
const SEGMENT_BYTES: u64 = 64 << 20;

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
    let rate = async |clients, without| {
        without_sessions(without);
        let writer = |id| Writer {
            client: node.client::<Store>(),
            id,
            value: common::value(),
        };
        common::closed_loop(clients, writer).await
    };
    common::print_head("to without");
    for clients in common::client_counts(&CLIENTS) {
        let [mut with, mut without, mut ratios] = [(); 3].map(|()| Rates::default());
        for round in 0..common::rounds() {
            // Whoever comes second may find the machine warmer.
            let first_without = round % 2 == 0;
            let rates = [
                rate(clients, first_without).await,
                rate(clients, !first_without).await,
            ];
            let [is_with, is_without] = if first_without {
                [rates[1], rates[0]]
            } else {
                rates
            };
            with.add(is_with);
            without.add(is_without);
            ratios.add(is_with / is_without);
        }
        without.print_beside(&format!("without, clients: {clients}"), 1.0);
        with.print_beside(&format!("with, clients: {clients}"), ratios.median());
    }
    without_sessions(false);
    cluster.stop_all().await;
    Ok(())
}
