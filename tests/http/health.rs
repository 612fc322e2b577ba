//! `/healthz` and `/readyz`, as probes ask them.

use std::time::Duration;

use braft::Node;
use braft::testing::{Cluster, TestNode, TestResult};
use serde_json::json;
use tests::Counter;

use crate::ask::{Answer, get};

#[braft::test(nodes = 3)]
async fn a_node_is_ready_while_it_can_serve_and_says_why_it_is_not(
    cluster: Cluster<Counter>,
) -> TestResult {
    for node in 0..3 {
        let node = cluster.node(TestNode(node))?;
        node.ready().await;
        // On a busy machine it may lose touch for a moment, and says so.
        until(&node, 200).await;
        assert_eq!(get("/healthz").of(&node).await.status, 200);
    }
    let leader = cluster.leader().await?;
    let alone = cluster.node(TestNode((leader.0 + 1) % 3))?;
    for node in (0..3).map(TestNode) {
        if node.0 != (leader.0 + 1) % 3 {
            let _down = cluster.kill(node).await?;
        }
    }
    // It knew a leader; now it hears of none.
    let not_ready = until(&alone, 503).await.json();
    assert_eq!(not_ready["ready"], json!(false));
    assert!(not_ready["why"].is_string());
    // It has no need of a restart: it waits for the others.
    assert_eq!(get("/healthz").of(&alone).await.status, 200);
    Ok(())
}

/// Asks whether a node is ready until it answers with this status.
async fn until(node: &Node, status: u16) -> Answer {
    loop {
        let ready = get("/readyz").of(node).await;
        if ready.status == status {
            return ready;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
