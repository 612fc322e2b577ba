//! Work that only the leader does: a task with a token, and writes that a later leader refuses.

use std::error::Error;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use braft::{Config, ErrorKind, LeaderToken, Node, StaticList, raft_service};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Rounds {
    done: u64,
    /// The leader that did the last one, by its term.
    led: u64,
}

#[raft_service]
impl Rounds {
    fn finish(&mut self, led: u64) -> u64 {
        self.led = led;
        self.done += 1;
        self.done
    }

    fn last(&self) -> (u64, u64) {
        (self.done, self.led)
    }
}

/// Runs on the leader, while it leads.
async fn rounds(node: Node, token: LeaderToken) {
    println!("{} leads: fencing number {}", node.address(), token.term());
    let rounds = node.client::<Rounds>();
    while token.is_valid() {
        match rounds.finish(token.term()).fenced(&token).await {
            Err(error) if error.kind() == ErrorKind::Fenced => break,
            Err(error) => println!("a round was not written: {error}"),
            Ok(_) => {}
        }
        tokio::select! {
            () = token.cancelled() => {}
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
    }
    println!("{} does not lead any more", node.address());
}

/// The last round and its leader's term, once that is later than `term`.
async fn round_after(node: &Node, term: u64) -> Result<(u64, u64), braft::Error> {
    loop {
        let (done, led) = node.client::<Rounds>().last().await?;
        if led > term {
            return Ok((done, led));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let data = tempfile::tempdir()?;
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
            .service::<Rounds>()
            .leader_task(rounds)
            .data_dir(data.path().join(address))
            .discovery(StaticList::parse(&addresses.join(","), &address.parse()?)?)
            .expect_nodes(3)
            .listener(listener)
            .without_http();
        nodes.push(braft::start(config).await?);
    }
    join_all(nodes.iter().map(Node::ready)).await;

    let (done, first) = round_after(&nodes[0], 0).await?;
    println!("{done} rounds done by the leader of term {first}");

    let leads = |node: &Node| node.status().role == "leader";
    let leader = nodes.iter().position(leads).ok_or("nobody leads")?;
    let leader = nodes.remove(leader);
    leader.shutdown(Duration::from_secs(5)).await;
    let (_, second) = round_after(&nodes[0], first).await?;
    println!("the leader of term {second} has taken over");

    // What the old leader might still send has no effect any more.
    let late = nodes[0].client::<Rounds>().finish(first).fence(first).await;
    let error = late.err().ok_or("a leader of the past has written")?;
    assert_eq!(error.kind(), ErrorKind::Fenced);
    println!("a write of the leader of term {first} is refused: {error}");

    for node in &nodes {
        node.shutdown(Duration::from_secs(5)).await;
    }
    Ok(())
}
