//! Wall clocks that jump: log time goes on.

use std::time::{Duration, SystemTime};

use braft::testing::{Cluster, TestNode, TestResult};

use crate::timers::{Alarm, AlarmClient, rings};

const YEAR: i64 = 365 * 24 * 60 * 60;
const HOUR_MS: u32 = 60 * 60 * 1000;

/// Puts entries into the log until the leader complains of a clock, or has nothing to complain of.
async fn noticed(cluster: &Cluster<Alarm>, alarm: &AlarmClient, is_wrong: bool) -> TestResult {
    loop {
        alarm.fill().await?;
        let leader = cluster.node(cluster.leader().await?)?;
        if leader.status().clocks.is_some() == is_wrong {
            return Ok(());
        }
    }
}

/// Far more than a log time that goes by the right clocks is off.
const SLACK: Duration = Duration::from_secs(1);
/// In so long a log time that followed a wrong clock would be off by more, however bent.
const LONG: Duration = Duration::from_secs(9);

/// That the log's time is that of this host, whose clock the majority has: between a moment before the
/// command was called and one after it was answered.
async fn assert_right(alarm: &AlarmClient) -> TestResult<SystemTime> {
    let called = SystemTime::now();
    let stamp = alarm.set(50).await??;
    let answered = SystemTime::now();
    assert!(
        called <= stamp + SLACK,
        "{:?} behind",
        called.duration_since(stamp)
    );
    assert!(
        stamp <= answered + SLACK,
        "{:?} ahead",
        stamp.duration_since(answered)
    );
    Ok(stamp)
}

fn since(time: SystemTime, before: SystemTime) -> TestResult<Duration> {
    Ok(time.duration_since(before)?)
}

#[braft::test(nodes = 3)]
async fn a_leader_whose_wall_clock_jumps_a_year_and_back_moves_no_timer_and_no_session(
    cluster: Cluster<Alarm>,
) -> TestResult {
    let alarm = cluster.client();
    let session = alarm.fill().await?;
    let before = alarm.set(HOUR_MS).await??;
    let leader = cluster.leader().await?;
    for (round, ahead) in (1..).zip([YEAR, -YEAR, 0]) {
        cluster.set_clock_ahead(leader, ahead);
        noticed(&cluster, &alarm, ahead != 0).await?;
        // What is due soon fires, and what is due in an hour does not.
        if ahead != 0 {
            tokio::time::sleep(LONG).await;
        }
        let set = assert_right(&alarm).await?;
        let rung = rings(&cluster, leader, round).await?;
        assert_eq!(rung.len(), round, "{rung:?}");
        let now = rung[round - 1].now.ok_or("the timer has no time")?;
        assert!(since(now, set)? < Duration::from_secs(60), "{rung:?}");
        assert!(since(now, before)? < Duration::from_secs(600), "{rung:?}");
    }
    // An expired one would have been replaced.
    assert_eq!(alarm.fill().await?, session);
    cluster.converged().await?;
    Ok(())
}

#[braft::test(nodes = 3)]
async fn a_node_whose_wall_clock_is_a_year_ahead_does_not_move_log_time_when_it_leads(
    cluster: Cluster<Alarm>,
) -> TestResult {
    let alarm = cluster.client();
    alarm.set(HOUR_MS).await??;
    let leader = cluster.leader().await?;
    let odd = TestNode((leader.0 + 1) % 3);
    cluster.set_clock_ahead(odd, YEAR);
    while cluster.leader().await? != odd {
        let down = cluster.kill_leader().await?;
        cluster.leader().await?;
        cluster.restart(down).await?;
    }
    noticed(&cluster, &alarm, true).await?;
    tokio::time::sleep(LONG).await;
    let set = assert_right(&alarm).await?;
    assert_eq!(rings(&cluster, odd, 1).await?.len(), 1);

    // Nor does a restart of all nodes.
    cluster.stop_all().await;
    cluster.start_all().await?;
    let after = cluster.client().set(50).await??;
    assert!(since(after, set)? < Duration::from_secs(60));
    assert_eq!(rings(&cluster, odd, 2).await?.len(), 2);
    Ok(())
}
