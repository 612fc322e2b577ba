//! Reads of each level in a cluster of three: calls per second, and what one read takes after a write.
//!
//! `cargo bench -p tests --bench reads`. Three nodes in one process over real gRPC; the calls enter at
//! the leader, then at a follower.

#![allow(unreachable_pub)] // services are public in life

mod common;

use std::time::{Duration, Instant};

use braft::ReadLevel;
use braft::testing::{Cluster, TestNode, TestResult};
use common::{Client, Rates, Store, StoreClient, Writer};

const CLIENTS: [u64; 2] = [1, 64];
const LEVELS: [(&str, ReadLevel); 6] = [
    ("linearizable", ReadLevel::Linearizable),
    ("lease", ReadLevel::Lease),
    ("follower", ReadLevel::Follower),
    ("session", ReadLevel::Session),
    ("local, 1 s", ReadLevel::LocalAtMost(Duration::from_secs(1))),
    ("local", ReadLevel::Local),
];
/// Writes, each with a read after it.
const PAIRS: u64 = 500;

struct Reader {
    client: StoreClient,
    level: ReadLevel,
    id: u64,
}

impl Client for Reader {
    async fn call(&self, n: u64) {
        let get = self.client.get(common::key(self.id, n)).read(self.level);
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
    let cluster = Cluster::<Store>::start(3).await?;
    cluster.all_vote().await?;
    let leader = cluster.leader().await?;
    let follower = TestNode((leader.0 + 1) % 3);
    // What is read is there.
    let filled = cluster.client_at(leader)?;
    let writer = |id| Writer {
        client: filled.clone(),
        id,
        value: common::value(),
    };
    common::closed_loop(CLIENTS[1], writer).await;
    for (place, node) in [("leader", leader), ("follower", follower)] {
        let client = cluster.client_at(node)?;
        println!("calls that enter at the {place}");
        common::print_head("to 1st");
        let mut first = None;
        for (name, level) in LEVELS {
            for clients in common::client_counts(&CLIENTS) {
                let mut rates = Rates::default();
                for _ in 0..common::rounds() {
                    let reader = |id| Reader {
                        client: client.clone(),
                        level,
                        id,
                    };
                    rates.add(common::closed_loop(clients, reader).await);
                }
                let floor = *first.get_or_insert_with(|| rates.median());
                rates.print(&format!("{name}, clients: {clients}"), floor);
            }
        }
        for (name, level) in LEVELS {
            let took = after_a_write(&client, level).await?;
            println!("a {name} read right after a write of the same client: {took:?}");
        }
    }
    cluster.stop_all().await;
    Ok(())
}

/// The median time of a read that follows a write.
async fn after_a_write(client: &StoreClient, level: ReadLevel) -> TestResult<Duration> {
    let (mut times, value) = (Vec::new(), common::value());
    for n in 0..PAIRS {
        client.put(n % 16, &value).await?;
        let began = Instant::now();
        client.get(n % 16).read(level).await?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}
