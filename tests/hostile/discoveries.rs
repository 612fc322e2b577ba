//! Discovery that is wrong, and addresses that are not IPv4.

use std::net::{Ipv6Addr, TcpListener};
use std::time::Duration;

use braft::testing::{Cluster, TestNode, TestResult};
use braft::{Discovery, Node, PeerSet};
use futures_util::stream::{self, BoxStream, StreamExt};
use tests::Counter;
use tokio::sync::watch;

use crate::outsider::{PATIENCE, config, until};

/// Shows whatever it is told to, like a registry that loses its entries or mixes clusters up.
struct Registry(watch::Receiver<PeerSet>);

impl Discovery for Registry {
    fn name(&self) -> &str {
        "registry"
    }

    fn peers(&self) -> BoxStream<'static, PeerSet> {
        let next = |mut seen: watch::Receiver<PeerSet>| async move {
            seen.changed().await.ok()?;
            let set = seen.borrow_and_update().clone();
            Some((set, seen))
        };
        let mut seen = self.0.clone();
        seen.mark_changed();
        stream::unfold(seen, next).boxed()
    }
}

#[test]
fn discovery_that_contradicts_the_membership_neither_removes_nor_restarts_anybody() {
    braft::testing::run_test(1, "registry", |_: Cluster<Counter>| async {
        let (shown, seen) = watch::channel(PeerSet::default());
        let cluster =
            Cluster::<Counter>::start_with(1, |config| config.dead_after(Duration::from_secs(1)))
                .await?;
        let first = cluster.address(TestNode(0));
        shown.send_replace(PeerSet {
            peers: [first.parse()?].into(),
            expect: None,
        });
        let scratch = [tempfile::tempdir()?, tempfile::tempdir()?];
        let mut nodes = Vec::new();
        for directory in &scratch {
            let config = config(
                directory.path(),
                crate::outsider::listener(),
                std::slice::from_ref(&first),
            );
            let config = config.discovery(Registry(seen.clone()));
            nodes.push(braft::start(config).await?);
        }
        let all_vote = |node: &Node| {
            let members = node.status().members;
            members.len() == 3 && members.iter().all(|member| member.votes)
        };
        until("three voters", || async { nodes.iter().all(all_vote) }).await?;
        let counter = cluster.client();
        counter.add(1).await??;
        let before = cluster.node(TestNode(0))?.status();
        // Nobody is there, then only strangers, then this node alone.
        let strangers = ["10.255.255.1:1".parse()?, "[fd00::1]:1".parse()?];
        let own = [nodes[0].address().parse()?];
        let sets = [Vec::new(), strangers.to_vec(), own.to_vec()];
        for (round, peers) in sets.into_iter().enumerate() {
            shown.send_replace(PeerSet {
                peers: peers.into_iter().collect(),
                expect: Some(1),
            });
            // Twice the time after which a dead member would be gone.
            let until_then = tokio::time::Instant::now() + Duration::from_secs(2);
            while tokio::time::Instant::now() < until_then {
                counter.add(1).await??;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let after = cluster.node(TestNode(0))?.status();
            assert_eq!(after.term, before.term, "an election in round {round}");
            assert_eq!(after.cluster_id, before.cluster_id);
            assert!(nodes.iter().all(all_vote), "{after:?}");
        }
        for node in nodes {
            node.shutdown(PATIENCE).await;
        }
        cluster.stop_all().await;
        Ok(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_on_ipv6_form_a_cluster() {
    let listeners: Vec<_> = (0..3)
        .map_while(|_| TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).ok())
        .collect();
    if listeners.len() < 3 {
        return println!("skipped: this host has no IPv6 loopback");
    }
    let run = async || -> TestResult {
        let addresses: Vec<_> = listeners
            .iter()
            .map(|listener| Ok(listener.local_addr()?.to_string()))
            .collect::<std::io::Result<_>>()?;
        let scratch = tempfile::tempdir()?;
        let mut nodes = Vec::new();
        for (place, listener) in listeners.into_iter().enumerate() {
            let directory = scratch.path().join(place.to_string());
            nodes.push(braft::start(config(&directory, listener, &addresses)).await?);
        }
        for (place, node) in nodes.iter().enumerate() {
            let total = node.client::<Counter>().add(1).await??;
            assert_eq!(total, 1 + place as u64);
            assert!(node.address().starts_with("[::1]:"), "{}", node.address());
        }
        let remote = {
            use braft::Client;
            tests::CounterClient::connect(addresses.clone()).await?
        };
        assert_eq!(remote.get().await?, 3);
        for node in nodes {
            node.shutdown(PATIENCE).await;
        }
        Ok(())
    };
    run().await.unwrap_or_else(|error| panic!("{error}"));
}
