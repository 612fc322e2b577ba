//! Three nodes in one process over real gRPC: durable writes of 256 B and linearizable reads.

#![allow(unreachable_pub)] // services are public in life

mod common;

use braft::testing::{Cluster, TestNode, TestResult};
use common::{Client, Rates, Store, StoreClient, Writer};

const CLIENTS: [u64; 3] = [1, 64, 256];
/// Bytes of a log segment: the product's own, not the small ones of tests.
const SEGMENT_BYTES: u64 = 64 << 20;

struct Reader {
    client: StoreClient,
    id: u64,
}

impl Client for Reader {
    async fn call(&self, n: u64) {
        let get = self.client.get(common::key(self.id, n));
        get.await.expect("a healthy cluster answers every read");
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime
        .block_on(measure())
        .map_err(|error| error.to_string().into())
}

async fn measure() -> TestResult {
    let cluster =
        Cluster::<Store>::start_with(3, |config| config.segment_bytes(SEGMENT_BYTES)).await?;
    cluster.all_vote().await?;
    let clients = common::client_counts(&CLIENTS);
    let leader = cluster.leader().await?;
    let follower = TestNode((leader.0 + 1) % 3);
    println!("clients of the leader's process, then of a follower's; all nodes share one machine");

    for (place, node) in [("leader", leader), ("follower", follower)] {
        let node = cluster.node(node)?;
        let mut writes: Vec<Rates> = clients.iter().map(|_| Rates::default()).collect();
        let mut reads: Vec<Rates> = clients.iter().map(|_| Rates::default()).collect();
        for _ in 0..common::rounds() {
            for (place, count) in clients.iter().enumerate() {
                let writer = |id| Writer {
                    client: node.client::<Store>(),
                    id,
                    value: common::value(),
                };
                writes[place].add(common::closed_loop(*count, writer).await);
                let reader = |id| Reader {
                    client: node.client::<Store>(),
                    id,
                };
                reads[place].add(common::closed_loop(*count, reader).await);
            }
        }
        common::print_head("to 1");
        let one = (writes[0].median(), reads[0].median());
        for (at, count) in clients.iter().enumerate() {
            writes[at].print(&format!("{place}, put, clients: {count}"), one.0);
            reads[at].print(&format!("{place}, get, clients: {count}"), one.1);
        }
    }
    cluster.stop_all().await;
    Ok(())
}
