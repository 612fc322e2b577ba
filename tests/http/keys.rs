//! Idempotency keys: a repeat is answered as the first call was, wherever and whenever it comes.

use std::time::Duration;

use braft::testing::{Cluster, TestNode, TestResult, run_test};
use braft::{Node, Settings};
use serde_json::{Value, json};
use tests::{Board, Counter};

use crate::ask::{Answer, Ask, post};
use crate::refusals::Brittle;

/// Long enough for any failover on a busy machine.
const PATIENT: &str = "30s";

fn add(by: u64, key: &str) -> Ask {
    let call = post("/v1/Counter/add", json!({ "by": by }));
    call.header("idempotency-key", key)
        .header("braft-timeout", PATIENT)
}

async fn added(node: &Node, by: u64, key: &str) -> Value {
    add(by, key).of(node).await.value()
}

#[test]
fn a_repeat_has_the_first_answer_through_other_nodes_failover_restart_and_snapshot() {
    run_test(1, "keys", |_: Cluster<Counter>| async {
        let cluster = Cluster::<Counter>::start_with(3, |config| {
            config.snapshot_every(5).keep_log_entries(1)
        })
        .await?;
        let nodes = || {
            (0..3)
                .map(TestNode)
                .filter_map(|node| cluster.node(node).ok())
        };
        let first = cluster.node(TestNode(0))?;
        assert_eq!(added(&first, 2, "a").await, 2);
        assert_eq!(added(&first, 3, "b").await, 5);
        for node in nodes() {
            assert_eq!(added(&node, 2, "a").await, 2);
        }
        let down = cluster.kill_leader().await?;
        for node in nodes() {
            assert_eq!(added(&node, 3, "b").await, 5);
        }
        // What was kept is in snapshots alone then.
        for at in 0..20 {
            let node = nodes().next().ok_or("all are down")?;
            added(&node, 0, &format!("more-{at}")).await;
        }
        cluster.restart(down).await?;
        cluster.converged().await?;
        cluster
            .eventually("the log to be purged", || {
                nodes().all(|node| node.status().log.purged_index > 5)
            })
            .await?;
        cluster.stop_all().await;
        cluster.start_all().await?;
        for node in nodes() {
            assert_eq!(added(&node, 2, "a").await, 2);
            let other = add(3, "a").of(&node).await;
            let problem = other.problem(422, "key_reused");
            assert_eq!(problem["outcome"], "not_applied");
        }
        cluster.converged().await?;
        assert_eq!(cluster.client().get().await?, 5);
        cluster.stop_all().await;
        Ok(())
    });
}

#[braft::test(nodes = 3)]
async fn many_at_once_under_one_key_run_once(cluster: Cluster<Counter>) -> TestResult {
    let nodes: Vec<_> = (0..3)
        .map(|node| cluster.node(TestNode(node)))
        .collect::<Result<_, _>>()?;
    for key in ["a", "b", "c"] {
        let calls = (0..12).map(|at| add(1, key).of(&nodes[at % 3]));
        let answers: Vec<Answer> = futures_util::future::join_all(calls).await;
        let first = answers[0].value();
        assert!(
            answers.iter().all(|answer| answer.value() == first),
            "{answers:?}"
        );
    }
    assert_eq!(cluster.client().get().await?, 3);
    Ok(())
}

#[braft::test(nodes = 1)]
async fn an_error_of_the_service_is_an_outcome_as_well(cluster: Cluster<Board>) -> TestResult {
    let node = cluster.node(TestNode(0))?;
    let pin = |x: i32, key: &str| {
        let note = json!({ "text": "a", "color": "White", "at": { "x": x, "y": 0 } });
        post("/v1/Board/pin", note).header("idempotency-key", key)
    };
    assert_eq!(pin(1, "a").of(&node).await.value(), 1);
    let taken = json!({ "Taken": { "by": 1 } });
    let refused = pin(1, "b").of(&node).await;
    assert_eq!(refused.problem(422, "service")["error"], taken);
    cluster.client().unpin(1).await?;
    // It would succeed by now.
    let again = pin(1, "b").of(&node).await;
    assert_eq!(again.problem(422, "service")["error"], taken);
    assert_eq!(pin(1, "a").of(&node).await.value(), 1);
    assert_eq!(cluster.client().count().await?, 0);
    let long = pin(2, &"k".repeat(129)).of(&node).await;
    long.problem(400, "rejected");
    Ok(())
}

#[braft::test(nodes = 3)]
async fn a_command_that_panicked_stays_without_effect(cluster: Cluster<Brittle>) -> TestResult {
    let node = cluster.node(TestNode(0))?;
    let set = |value: u64| {
        let call = post("/v1/Brittle/set", json!({ "value": value }));
        call.header("idempotency-key", "a")
            .header("braft-timeout", PATIENT)
    };
    for place in [0, 1, 2] {
        let node = cluster.node(TestNode(place))?;
        let refused = set(13).of(&node).await;
        assert_eq!(refused.problem(400, "rejected")["outcome"], "not_applied");
    }
    set(1).of(&node).await.problem(422, "key_reused");
    cluster.converged().await?;
    // It ran, and panicked, once: the method is not refused.
    assert_eq!(cluster.client().set(1).await?, [0]);
    Ok(())
}

#[test]
fn a_key_is_forgotten_after_its_time() {
    run_test(1, "old keys", |_: Cluster<Counter>| async {
        let settings = Settings {
            key_expiry_ms: 300,
            ..Settings::default()
        };
        let configure = move |config: braft::Config| config.settings(settings.clone());
        let cluster = Cluster::<Counter>::start_with(1, configure).await?;
        let node = cluster.node(TestNode(0))?;
        assert_eq!(added(&node, 2, "a").await, 2);
        // Log time moves with the log, and each call moves it.
        while added(&node, 2, "a").await == 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(cluster.client().get().await?, 4);
        cluster.stop_all().await;
        Ok(())
    });
}

#[test]
fn a_full_table_takes_no_new_key_and_keeps_the_old_ones() {
    run_test(1, "full", |_: Cluster<Counter>| async {
        let settings = Settings {
            max_keys: 1,
            ..Settings::default()
        };
        let configure = move |config: braft::Config| config.settings(settings.clone());
        let cluster = Cluster::<Counter>::start_with(1, configure).await?;
        let node = cluster.node(TestNode(0))?;
        assert_eq!(added(&node, 2, "a").await, 2);
        let busy = add(1, "b").of(&node).await;
        assert_eq!(busy.problem(429, "busy")["outcome"], "not_applied");
        assert_eq!(busy.header("retry-after"), "1");
        assert_eq!(added(&node, 2, "a").await, 2);
        assert_eq!(cluster.client().get().await?, 2);
        cluster.stop_all().await;
        Ok(())
    });
}
