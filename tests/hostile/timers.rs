//! Nodes whose timers differ: a leader must not count on a promise that a voter does not give.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use braft::testing::{Cluster, TestNode, TestResult, run_test};
use tests::Counter;

use crate::outsider::until;

const SHORT_MS: u64 = 600;
const LONG_MS: u64 = 1200;

/// Runs a test on three nodes; the number is the longest election timeout, in milliseconds, of
/// those that start from then on.
fn with_timers<Fut: Future<Output = TestResult>>(
    name: &str,
    first_ms: u64,
    body: impl FnOnce(Cluster<Counter>, Arc<AtomicU64>) -> Fut,
) {
    run_test(1, name, |_: Cluster<Counter>| async move {
        let longest_ms = Arc::new(AtomicU64::new(first_ms));
        let now = longest_ms.clone();
        let cluster = Cluster::<Counter>::start_with(3, move |config| {
            let longest = Duration::from_millis(now.load(Ordering::Relaxed));
            config.election_timeout(longest / 2..longest)
        })
        .await?;
        let stopper = cluster.clone();
        let result = body(cluster, longest_ms).await;
        stopper.stop_all().await;
        result
    });
}

/// What the leader says of a member that it cannot reach.
fn trouble(cluster: &Cluster<Counter>, leader: TestNode, member: TestNode) -> Option<String> {
    let address = cluster.address(member);
    let members = cluster.node(leader).ok()?.status().members;
    let mut members = members.into_iter();
    members.find(|member| member.address == address)?.trouble
}

#[test]
fn a_voter_that_votes_sooner_than_the_leader_counts_on_is_not_led_and_the_leader_says_why() {
    let name = "a voter with shorter timers";
    with_timers(name, LONG_MS, |cluster, longest_ms| async move {
        let counter = cluster.client();
        counter.add(1).await??;
        // A majority without it may have acknowledged the write.
        cluster.converged().await?;
        let leader = cluster.leader().await?;
        let hasty = TestNode((leader.0 + 1) % 3);
        let down = cluster.kill(hasty).await?;
        longest_ms.store(SHORT_MS, Ordering::Relaxed);
        cluster.restart(down).await?;
        until(
            "the leader to say why it does not lead a member",
            || async {
                trouble(&cluster, leader, hasty).is_some_and(|text| {
                    let parts = ["600 ms", "1200 ms", "BRAFT_ELECTION_MAX_MS"];
                    parts.iter().all(|part| text.contains(part))
                })
            },
        )
        .await?;
        assert_eq!(counter.add(1).await??, 2);
        let local = cluster.client_at(hasty)?.get().local().await?;
        assert_eq!(local, 1, "nothing was sent to it");

        let down = cluster.kill(hasty).await?;
        longest_ms.store(LONG_MS, Ordering::Relaxed);
        cluster.restart(down).await?;
        cluster.converged().await?;
        assert_eq!(trouble(&cluster, leader, hasty), None);
        Ok(())
    });
}

#[test]
fn timers_are_changed_by_restarting_one_node_after_the_other() {
    with_timers(
        "a change of timers",
        SHORT_MS,
        |cluster, longest_ms| async move {
            let counter = cluster.client();
            let mut total = 0;
            for longest in [LONG_MS, SHORT_MS] {
                longest_ms.store(longest, Ordering::Relaxed);
                for place in 0..3 {
                    let down = cluster.kill(TestNode(place)).await?;
                    cluster.restart(down).await?;
                    total += 1;
                    assert_eq!(counter.add(1).await??, total);
                }
                cluster.converged().await?;
            }
            Ok(())
        },
    );
}
