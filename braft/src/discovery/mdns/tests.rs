//! Real multicast, on loopback alone. Each test has a service of its own.

use super::*;
use crate::discovery::PeerAddress;

/// A service that no other run of these tests uses at this moment.
fn service(test: &str) -> ServiceType {
    let name = format!("_{test}{}._tcp", std::process::id());
    name.parse().expect("a short name")
}

/// A source for node `node_id` of a cluster, announced.
fn announced(service: &ServiceType, cluster: &str, node_id: u16) -> Mdns {
    let source = Mdns::new(service.clone());
    source.announce(Announcement {
        cluster_name: cluster.to_owned(),
        node_id: node_id.into(),
        address: address(node_id),
    });
    source
}

fn address(node_id: u16) -> PeerAddress {
    let text = format!("127.0.0.1:{}", 15_000 + node_id);
    text.parse().expect("an address")
}

/// Waits until a source sees these nodes and no others.
async fn sees(source: &Mdns, node_ids: &[u16]) {
    let expected = node_ids.iter().map(|node_id| address(*node_id)).collect();
    let mut sets = source.peers();
    while let Some(set) = sets.next().await {
        assert_eq!(
            set.expect, None,
            "how many are up is not how many there are to be"
        );
        if set.peers == expected {
            return;
        }
    }
    panic!("the stream ended");
}

#[tokio::test]
async fn nodes_of_a_cluster_see_each_other_and_no_others() {
    let service = service("see");
    let ours: Vec<_> = (1..=3).map(|id| announced(&service, "ours", id)).collect();
    let theirs: Vec<_> = (4..=5)
        .map(|id| announced(&service, "theirs", id))
        .collect();
    sees(&ours[0], &[2, 3]).await;
    sees(&ours[1], &[1, 3]).await;
    sees(&ours[2], &[1, 2]).await;
    sees(&theirs[0], &[5]).await;
    sees(&theirs[1], &[4]).await;
    // Both went on to hear of everybody.
    sees(&ours[0], &[2, 3]).await;
}

#[tokio::test]
async fn a_node_that_withdraws_is_gone_and_one_that_comes_late_is_seen() {
    let service = service("gone");
    let one = announced(&service, "ours", 1);
    let two = announced(&service, "ours", 2);
    sees(&one, &[2]).await;
    two.withdraw().await;
    sees(&one, &[]).await;
    let three = announced(&service, "ours", 3);
    sees(&one, &[3]).await;
    sees(&three, &[1]).await;
    // A source that is dropped says goodbye, too.
    drop(three);
    sees(&one, &[]).await;
}

#[tokio::test]
async fn several_streams_of_one_source_see_the_same() {
    let service = service("same");
    let one = announced(&service, "ours", 1);
    let _two = announced(&service, "ours", 2);
    sees(&one, &[2]).await;
    sees(&one, &[2]).await;
}
