//! Work items spread over the nodes, which follow their shares as members come and go.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use braft::distribute::{ShareState, WorkItem, WorkList};
use braft::{Config, Node, StaticList};
use futures_util::StreamExt;
use futures_util::future::join_all;

const NODES: usize = 3;
const ITEMS: usize = 7;

/// Who has how many items, once all have been assigned to this many nodes.
async fn spread(feeds: &WorkList<String>, nodes: usize) -> Result<Vec<usize>, braft::Error> {
    loop {
        let mut counts = BTreeMap::<String, usize>::new();
        for assignment in feeds.assignments().await?.unwrap_or_default() {
            if let Some(node) = assignment.node {
                *counts.entry(node).or_default() += 1;
            }
        }
        if counts.len() == nodes && counts.values().sum::<usize>() == ITEMS {
            let mut counts: Vec<_> = counts.into_values().collect();
            counts.sort_unstable();
            return Ok(counts);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Prints the share of a node whenever it changes, until the node stops.
async fn follow(node: Node) {
    let name = node.address().to_owned();
    let mut shares = node.work_list::<String>("feeds").shares();
    drop(node);
    while let Some(share) = shares.next().await {
        match share.map(|share| share.state) {
            Ok(ShareState::Assigned(items)) => {
                let ids: Vec<_> = items.into_iter().map(|item| item.id).collect();
                println!("{name} has {}", ids.join(", "));
            }
            Ok(none) => println!("{name} has no share: {none:?}"),
            Err(error) => println!("{name} cannot know its share: {error}"),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let data = tempfile::tempdir()?;
    let listeners: Vec<_> = (0..NODES)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<_, _>>()?;
    let addresses: Vec<_> = listeners
        .iter()
        .map(|listener| Ok(listener.local_addr()?.to_string()))
        .collect::<std::io::Result<_>>()?;
    let mut nodes = Vec::new();
    for (listener, address) in listeners.into_iter().zip(&addresses) {
        let config = Config::new()
            .distribute()
            .data_dir(data.path().join(address))
            .discovery(StaticList::parse(&addresses.join(","), &address.parse()?)?)
            .expect_nodes(NODES)
            .listener(listener)
            .without_http();
        nodes.push(braft::start(config).await?);
    }
    join_all(nodes.iter().map(Node::ready)).await;
    for node in &nodes {
        tokio::spawn(follow(node.clone()));
    }

    let feeds = nodes[0].work_list::<String>("feeds");
    let item = |number| WorkItem::new(format!("feed-{number}"), format!("/feeds/{number}.xml"));
    let items: Vec<_> = (1..=ITEMS).map(item).collect();
    feeds.set(&items).await??;
    println!("{ITEMS} items on 3 nodes: {:?}", spread(&feeds, 3).await?);

    let leaving = nodes.pop().ok_or("there are three")?;
    leaving.leave(Duration::from_secs(20)).await?;
    println!("{ITEMS} items on 2 nodes: {:?}", spread(&feeds, 2).await?);

    for node in &nodes {
        node.shutdown(Duration::from_secs(5)).await;
    }
    Ok(())
}
