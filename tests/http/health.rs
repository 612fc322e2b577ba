//! `/healthz` and `/readyz`, as probes ask them.

use braft::testing::{Cluster, TestNode, TestResult};
use serde_json::json;
use tests::Counter;

use crate::ask::get;

#[braft::test(nodes = 3)]
async fn a_node_is_ready_while_it_can_serve_and_says_why_it_is_not(
    cluster: Cluster<Counter>,
) -> TestResult {
    for node in 0..3 {
        let node = cluster.node(TestNode(node))?;
        node.ready().await;
        let ready = get("/readyz").of(&node).await;
        assert_eq!(ready.status, 200, "{ready:?}");
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
    loop {
        let ready = get("/readyz").of(&alone).await;
        if ready.status == 503 {
            assert_eq!(ready.json()["ready"], json!(false));
            assert!(ready.json()["why"].is_string());
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // It has no need of a restart: it waits for the others.
    assert_eq!(get("/healthz").of(&alone).await.status, 200);
    Ok(())
}
