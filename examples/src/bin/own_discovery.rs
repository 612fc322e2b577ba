//! Finding the nodes by means of one's own: here a file with an address on each line.

use std::collections::BTreeSet;
use std::error::Error;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use braft::{Config, Discovery, Node, PeerAddress, PeerSet, raft_service};
use futures_util::future::{join_all, try_join_all};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use serde::{Deserialize, Serialize};

/// How often the file is read again.
const INTERVAL: Duration = Duration::from_millis(500);

/// A file with a raft address on each line.
#[derive(Clone)]
struct AddressFile(PathBuf);

impl AddressFile {
    /// The whole set, as it stands in the file now.
    async fn read(&self) -> PeerSet {
        let text = tokio::fs::read_to_string(&self.0).await.unwrap_or_default();
        let address = |line: &str| line.trim().parse::<PeerAddress>().ok();
        PeerSet {
            peers: text.lines().filter_map(address).collect::<BTreeSet<_>>(),
            // A file that is being written may be short of lines: how many nodes form the cluster
            // is said in the configuration.
            expect: None,
        }
    }
}

impl Discovery for AddressFile {
    fn name(&self) -> &str {
        "file"
    }

    fn peers(&self) -> BoxStream<'static, PeerSet> {
        stream::unfold((self.clone(), None), |(file, last)| async move {
            loop {
                let seen = file.read().await;
                if last.as_ref() != Some(&seen) {
                    return Some((seen.clone(), (file, Some(seen))));
                }
                tokio::time::sleep(INTERVAL).await;
            }
        })
        .boxed()
    }
}

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

#[raft_service]
impl Counter {
    fn add(&mut self, by: u64) -> u64 {
        self.value = self.value.saturating_add(by);
        self.value
    }

    fn get(&self) -> u64 {
        self.value
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let addresses = directory.path().join("addresses");

    let mut nodes: Vec<Node> = Vec::new();
    for index in 0..3 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let config = Config::new()
            .service::<Counter>()
            .data_dir(directory.path().join(format!("node-{index}")))
            .listener(listener)
            .without_http()
            .discovery(AddressFile(addresses.clone()))
            .expect_nodes(3);
        nodes.push(braft::start(config).await?);
        println!("node {index} listens on {address}");
    }
    // The nodes wait for each other: now the file says where they are.
    let lines: Vec<_> = nodes.iter().map(Node::address).collect();
    tokio::fs::write(&addresses, lines.join("\n")).await?;
    join_all(nodes.iter().map(Node::ready)).await;

    nodes[0].client::<Counter>().add(1).await?;
    let read = nodes
        .iter()
        .map(|node| async { node.client::<Counter>().get().await });
    assert_eq!(try_join_all(read).await?, [1, 1, 1]);
    println!("3 nodes found each other through {}", addresses.display());

    for node in &nodes {
        node.shutdown(Duration::from_secs(5)).await;
    }
    Ok(())
}
