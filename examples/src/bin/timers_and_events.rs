//! Leases that run out by themselves, and a watcher that sees each change once.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::time::{Duration, SystemTime};

use braft::{Client, Config, Context, EventPosition, Node, StaticList, TooManyWakes, raft_service};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Leases {
    /// Who holds a lease, and until when.
    held: BTreeMap<String, SystemTime>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Change {
    Taken { holder: String },
    Expired { holder: String },
}

#[raft_service]
impl Leases {
    /// Takes a lease, or prolongs it.
    fn take(
        &mut self,
        context: &mut Context<Change>,
        holder: String,
        millis: u32,
    ) -> Result<(), TooManyWakes> {
        // The time of the log: the same on every node, whatever its clock shows.
        let until = context.now() + Duration::from_millis(millis.into());
        context.wake_at(until)?;
        if self.held.insert(holder.clone(), until).is_none() {
            context.emit(Change::Taken { holder });
        }
        Ok(())
    }

    /// Runs once log time has reached what `wake_at` was given; a lease that was prolonged stays.
    #[timer]
    fn expire(&mut self, context: &mut Context<Change>) {
        let now = context.now();
        self.held.retain(|holder, until| {
            let holds = *until > now;
            if !holds {
                let holder = holder.clone();
                context.emit(Change::Expired { holder });
            }
            holds
        });
    }

    fn holders(&self) -> Vec<&str> {
        self.held.keys().map(String::as_str).collect()
    }
}

async fn start_three(data: &std::path::Path) -> Result<Vec<Node>, Box<dyn Error>> {
    let listeners: Vec<_> = (0..3)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<_, _>>()?;
    let addresses: Vec<_> = listeners
        .iter()
        .map(|listener| Ok(listener.local_addr()?.to_string()))
        .collect::<std::io::Result<_>>()?;
    let mut nodes = Vec::new();
    for (listener, address) in listeners.into_iter().zip(&addresses) {
        let config = Config::new()
            .service::<Leases>()
            .data_dir(data.join(address))
            .discovery(StaticList::parse(&addresses.join(","), &address.parse()?)?)
            .expect_nodes(3)
            .listener(listener)
            .without_http();
        nodes.push(braft::start(config).await?);
    }
    join_all(nodes.iter().map(Node::ready)).await;
    Ok(nodes)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let data = tempfile::tempdir()?;
    let mut nodes = start_three(data.path()).await?;
    let addresses = nodes.iter().map(|node| node.address().to_owned());
    let leases = LeasesClient::connect(addresses.collect::<Vec<_>>()).await?;

    leases.take("anna".to_owned(), 60_000).await??;
    leases.take("ben".to_owned(), 1_000).await??;
    println!("held by {:?}", leases.holders().await?);

    // The watcher notes how far it has come.
    let mut events = leases.events();
    let mut seen = EventPosition::default();
    for _ in 0..2 {
        let (position, change) = events.next().await.ok_or("the events have ended")??;
        println!("{position}: {change:?}");
        seen = position;
    }
    drop(events);

    // Nobody calls anything any more, and the leader is gone: the lease runs out all the same.
    let leads = |node: &Node| node.status().role == "leader";
    let leader = nodes.iter().position(leads).ok_or("nobody leads")?;
    nodes.remove(leader).shutdown(Duration::from_secs(5)).await;
    let mut events = nodes[0].client::<Leases>().events().after(seen);
    let (position, change) = events.next().await.ok_or("the events have ended")??;
    println!("{position}: {change:?}, under another leader");
    let holder = "ben".to_owned();
    assert_eq!(change, Change::Expired { holder });
    println!("held by {:?}", leases.holders().await?);

    for node in &nodes {
        node.shutdown(Duration::from_secs(5)).await;
    }
    Ok(())
}
