//! Timers fire once, never early, on an idle cluster, and whatever happens to the nodes.

use std::time::{Duration, SystemTime};

use braft::testing::{Cluster, TestNode, TestResult};
use braft::{Context, LogPosition, TooManyWakes, raft_service};
use serde::{Deserialize, Serialize};

/// Rings at the times it was told to.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Alarm {
    /// What is to ring, and has not.
    set: Vec<SystemTime>,
    rung: Vec<Ring>,
    filler: u64,
}

/// One run of the timer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ring {
    /// What was due.
    due: Vec<SystemTime>,
    pub(crate) now: Option<SystemTime>,
    position: LogPosition,
    chance: u64,
}

#[raft_service]
impl Alarm {
    /// Rings once that time has passed; answers with the time of the log now.
    pub fn set(
        &mut self,
        context: &mut Context,
        after_ms: u32,
    ) -> Result<SystemTime, TooManyWakes> {
        let at = context.now() + Duration::from_millis(after_ms.into());
        context.wake_at(at)?;
        self.set.push(at);
        Ok(context.now())
    }

    /// Answers with the session of the caller.
    pub fn fill(&mut self, context: &mut Context) -> Option<u64> {
        self.filler += 1;
        context.request_id().map(|request| request.session)
    }

    #[timer]
    fn ring(&mut self, context: &mut Context) {
        let now = context.now();
        let due = self.set.extract_if(.., |at| *at <= now).collect();
        let chance = context.rng().next_u64();
        self.rung.push(Ring {
            due,
            now: Some(now),
            position: context.log_position(),
            chance,
        });
    }

    pub fn rung(&self) -> Vec<Ring> {
        self.rung.clone()
    }
}

/// Waits until a node has seen this many runs of the timer, without putting anything into the log.
pub(crate) async fn rings(
    cluster: &Cluster<Alarm>,
    node: TestNode,
    count: usize,
) -> TestResult<Vec<Ring>> {
    let alarm = cluster.client_at(node)?;
    loop {
        let rung = alarm.rung().local().await?;
        if rung.len() >= count {
            return Ok(rung);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn assert_rang_once(rung: &[Ring]) {
    assert_eq!(rung.len(), 1, "{rung:?}");
    // One that fired early would have found nothing due.
    assert_eq!(rung[0].due.len(), 1, "{rung:?}");
}

#[braft::test(nodes = 3)]
async fn a_timer_fires_on_an_idle_cluster_and_not_early(cluster: Cluster<Alarm>) -> TestResult {
    let alarm = cluster.client();
    let set = alarm.set(300).await??;
    for node in 0..3 {
        let rung = rings(&cluster, TestNode(node), 1).await?;
        assert_rang_once(&rung);
        assert!(rung[0].now >= Some(set + Duration::from_millis(300)));
    }
    cluster.converged().await?;
    Ok(())
}

#[braft::test(nodes = 3)]
async fn timers_fire_in_order_each_with_a_position_and_chance_of_its_own(
    cluster: Cluster<Alarm>,
) -> TestResult {
    let alarm = cluster.client();
    // Due at once, in the same entry or not: each time is a wake of its own.
    let after = [30, 10, 20, 0];
    for millis in after {
        alarm.set(millis).await??;
    }
    let rung = rings(&cluster, TestNode(0), after.len()).await?;
    assert_eq!(rung.len(), after.len());
    assert!(rung.is_sorted_by_key(|ring| ring.position), "{rung:?}");
    assert!(rung.is_sorted_by_key(|ring| ring.now), "{rung:?}");
    let mut chances: Vec<_> = rung.iter().map(|ring| ring.chance).collect();
    chances.dedup();
    assert_eq!(chances.len(), after.len(), "{rung:?}");
    cluster.converged().await?;
    Ok(())
}

#[braft::test(nodes = 3)]
async fn a_timer_fires_once_under_the_next_leader(cluster: Cluster<Alarm>) -> TestResult {
    let alarm = cluster.client();
    alarm.set(1500).await??;
    let old = cluster.kill_leader().await?;
    let next = cluster.leader().await?;
    assert_rang_once(&rings(&cluster, next, 1).await?);
    cluster.restart(old).await?;
    cluster.converged().await?;
    assert_rang_once(&alarm.rung().await?);
    Ok(())
}

#[braft::test(nodes = 3)]
async fn a_timer_survives_a_restart_of_all_nodes(cluster: Cluster<Alarm>) -> TestResult {
    let alarm = cluster.client();
    alarm.set(1000).await??;
    cluster.stop_all().await;
    cluster.start_all().await?;
    for node in 0..3 {
        assert_rang_once(&rings(&cluster, TestNode(node), 1).await?);
    }
    // What has fired does not fire again when the log is applied again.
    cluster.stop_all().await;
    cluster.start_all().await?;
    assert_rang_once(&cluster.client().rung().await?);
    cluster.converged().await?;
    Ok(())
}

#[test]
fn a_timer_reaches_a_node_by_snapshot_and_survives_there() {
    braft::testing::run_test(1, "timer by snapshot", |_: Cluster<Alarm>| async {
        let cluster =
            Cluster::<Alarm>::start_with(3, |config| config.snapshot_every(20).keep_log_entries(5))
                .await?;
        let alarm = cluster.client();
        let leader = cluster.leader().await?;
        let away = TestNode((leader.0 + 1) % 3);
        let down = cluster.kill(away).await?;
        alarm.set(3000).await??;
        let set_at = cluster.node(leader)?.status().log.last_index;
        // Until all that is left of the command is what the snapshot holds.
        while cluster.node(leader)?.status().log.purged_index < set_at {
            alarm.fill().await?;
        }
        cluster.restart(down).await?;
        cluster.converged().await?;
        cluster.stop_all().await;
        cluster.start_all().await?;
        assert_rang_once(&rings(&cluster, away, 1).await?);
        cluster.converged().await?;
        cluster.stop_all().await;
        Ok(())
    });
}

#[test]
fn a_timer_is_checked_without_a_cluster() {
    let checked = braft::testing::check::<Alarm>().seeds(5).without_cluster();
    assert!(checked.is_ok());
}

#[test]
fn a_command_is_tested_for_the_wakes_it_asks_for() {
    let mut alarm = Alarm::default();
    let mut context = Context::for_test(1);
    let now = context.now();
    let minute = Duration::from_secs(60);
    assert_eq!(alarm.set(&mut context, 60_000), Ok(now));
    assert_eq!(context.wakes().collect::<Vec<_>>(), [now + minute]);
}
