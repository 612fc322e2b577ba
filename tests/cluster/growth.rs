//! Nodes with an empty disk join a running cluster.

use braft::testing::{Cluster, TestResult};

use crate::services::Counter;

#[braft::test(nodes = 3)]
async fn a_node_with_an_empty_disk_joins_and_votes(cluster: Cluster<Counter>) -> TestResult {
    let counter = cluster.client();
    for _ in 0..20 {
        counter.add(1).await??;
    }
    let first = cluster.add_node().await?;
    let second = cluster.add_node().await?;
    cluster.all_vote().await?;
    cluster.converged().await?;
    for node in [first, second] {
        assert_eq!(cluster.client_at(node)?.get().await?, 20);
    }
    Ok(())
}

#[braft::test(nodes = 1)]
async fn one_node_grows_to_three_and_survives_its_loss(cluster: Cluster<Counter>) -> TestResult {
    let counter = cluster.client();
    counter.add(1).await??;
    cluster.add_node().await?;
    cluster.add_node().await?;
    cluster.all_vote().await?;
    // The first client knows one address, which is about to go away.
    let counter = cluster.client();
    let down = cluster.kill_leader().await?;
    assert_eq!(counter.add(1).await??, 2);
    cluster.restart(down).await?;
    cluster.converged().await?;
    Ok(())
}

#[test]
fn a_new_node_gets_the_state_from_a_snapshot_when_the_log_is_gone() {
    braft::testing::run_test(1, "new node", |_: Cluster<Counter>| async {
        let cluster = Cluster::<Counter>::start_with(3, |config| {
            config.snapshot_every(20).keep_log_entries(5)
        })
        .await?;
        let counter = cluster.client();
        for _ in 0..150 {
            counter.add(1).await??;
        }
        let node = cluster.add_node().await?;
        cluster.converged().await?;
        assert_eq!(cluster.client_at(node)?.get().local().await?, 150);
        cluster.stop_all().await;
        Ok(())
    });
}
