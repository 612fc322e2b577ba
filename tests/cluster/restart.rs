//! Nodes that stop and come back with their data.

use std::time::Duration;

use braft::Stopped;
use braft::testing::{Cluster, TestNode, TestResult};

use crate::services::Counter;

#[braft::test(nodes = 3)]
async fn keeps_count_when_the_leader_dies(cluster: Cluster<Counter>) -> TestResult {
    let counter = cluster.client();
    assert_eq!(counter.add(2).await??, 2);
    let old = cluster.kill_leader().await?;
    assert_eq!(counter.add(3).await??, 5);
    cluster.restart(old).await?;
    cluster.converged().await?;
    assert_eq!(counter.get().await?, 5);
    Ok(())
}

#[braft::test(nodes = 3)]
async fn every_acknowledged_write_is_there_after_all_nodes_restart_at_once(
    cluster: Cluster<Counter>,
) -> TestResult {
    let counter = cluster.client();
    for _ in 0..50 {
        counter.add(1).await??;
    }
    cluster.stop_all().await;
    cluster.start_all().await?;
    assert_eq!(counter.get().await?, 50);
    assert_eq!(counter.add(1).await??, 51);
    Ok(())
}

#[braft::test(nodes = 1)]
async fn a_single_node_keeps_its_data_over_many_restarts(cluster: Cluster<Counter>) -> TestResult {
    let counter = cluster.client();
    for round in 1..=5 {
        assert_eq!(counter.add(1).await??, round);
        cluster.stop_all().await;
        cluster.start_all().await?;
    }
    assert_eq!(counter.get().await?, 5);
    Ok(())
}

#[test]
fn a_node_that_was_away_until_the_log_was_purged_catches_up_by_snapshot() {
    braft::testing::run_test(1, "away", |_: Cluster<Counter>| async {
        let cluster = Cluster::<Counter>::start_with(3, |config| {
            config.snapshot_every(20).keep_log_entries(5)
        })
        .await?;
        let counter = cluster.client();
        counter.add(1).await??;
        let leader = cluster.leader().await?;
        let follower = TestNode((leader.0 + 1) % 3);
        let down = cluster.kill(follower).await?;
        for _ in 0..200 {
            counter.add(1).await??;
        }
        cluster.restart(down).await?;
        cluster.converged().await?;
        let here = cluster.client_at(follower)?;
        assert_eq!(here.get().local().await?, 201);
        cluster.stop_all().await;
        Ok(())
    });
}

#[braft::test(nodes = 3)]
async fn a_leader_that_is_shut_down_hands_over_and_loses_nothing(
    cluster: Cluster<Counter>,
) -> TestResult {
    let counter = cluster.client();
    assert_eq!(counter.add(1).await??, 1);
    let node = cluster.node(cluster.leader().await?)?;
    node.shutdown(Duration::from_secs(10)).await;
    assert_eq!(node.stopped().await, Stopped::Shutdown);
    assert_eq!(counter.add(1).await??, 2);
    Ok(())
}
