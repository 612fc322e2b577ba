//! How fresh reads are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use braft::testing::{Cluster, TestNode, TestResult};
use braft::{Client, ErrorKind, Outcome, ReadLevel, raft_service};
use serde::{Deserialize, Serialize};
use tests::History;

use crate::services::Counter;

const ROUNDS: u64 = 300;

#[braft::test(nodes = 3)]
async fn a_session_read_sees_the_clients_own_writes_on_a_follower(
    cluster: Cluster<Counter>,
) -> TestResult {
    let leader = cluster.leader().await?;
    let follower = cluster.client_at(TestNode((leader.0 + 1) % 3))?;
    for total in 1..=ROUNDS {
        assert_eq!(follower.add(1).await??, total);
        // The leader has answered; this node may not have applied it yet.
        assert_eq!(follower.get().session().await?, total);
    }
    Ok(())
}

#[braft::test(nodes = 3)]
async fn a_session_read_never_goes_back_when_the_client_changes_nodes(
    cluster: Cluster<Counter>,
) -> TestResult {
    let (writer, reader) = (cluster.client(), cluster.client());
    let mut seen = 0;
    for round in 0..6 {
        for _ in 0..20 {
            writer.add(1).await??;
            let now = reader.get().session().await?;
            assert!(now >= seen, "{now} after {seen}");
            seen = now;
        }
        // What it has seen so far came from one node; now it has to ask another one.
        let fresh = reader.get().await?;
        assert_eq!(fresh, (round + 1) * 20);
        seen = fresh;
        let down = cluster.kill_leader().await?;
        assert!(reader.get().session().await? >= seen);
        cluster.restart(down).await?;
    }
    Ok(())
}

/// Says in which node's memory it is.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Place {
    writes: u64,
}

#[raft_service]
impl Place {
    pub fn write(&mut self) -> u64 {
        self.writes += 1;
        self.writes
    }

    pub fn writes_and_address(&self) -> (u64, u64) {
        (self.writes, std::ptr::from_ref(self).addr() as u64)
    }
}

#[braft::test(nodes = 3)]
async fn a_follower_read_is_fresh_and_comes_from_the_followers_own_state(
    cluster: Cluster<Place>,
) -> TestResult {
    let leader = cluster.leader().await?;
    let here = cluster.client_at(TestNode((leader.0 + 1) % 3))?;
    let writer = cluster.client_at(leader)?;
    // Before or after the service was made active: that leaves the state where it is.
    let (_, own) = here.writes_and_address().local().await?;
    let (_, leaders) = writer.writes_and_address().local().await?;
    assert_ne!(own, leaders);
    // What the leader has to answer comes from another state.
    let (_, answers) = here.writes_and_address().await?;
    assert_eq!(answers, leaders);
    for writes in 1..=ROUNDS {
        writer.write().await?;
        assert_eq!(here.writes_and_address().follower().await?, (writes, own));
    }
    // The leader answers such a read too.
    assert_eq!(
        writer.writes_and_address().follower().await?,
        (ROUNDS, leaders)
    );
    Ok(())
}

#[braft::test(nodes = 3)]
async fn a_lease_read_sees_every_write_through_any_node(cluster: Cluster<Counter>) -> TestResult {
    for total in 1..=60 {
        let at = |place: u64| cluster.client_at(TestNode((place % 3) as usize));
        assert_eq!(at(total)?.add(1).await??, total);
        assert_eq!(at(total + 1)?.get().lease().await?, total);
    }
    Ok(())
}

#[braft::test(nodes = 3)]
async fn a_lease_read_needs_no_exchange_and_an_old_leader_answers_none_that_is_stale(
    cluster: Cluster<Counter>,
) -> TestResult {
    let history = Arc::new(History::default());
    let mut answered_alone = 0;
    let mut total = 0;
    for _ in 0..20 {
        cluster.all_vote().await?;
        let leader = cluster.leader().await?;
        let inside = cluster.client_at(leader)?;
        cluster.isolate(leader);
        let cut = Instant::now();
        let reader = {
            let history = history.clone();
            tokio::spawn(async move {
                let mut answered = 0;
                // Longer than the lease, and than an election.
                while cut.elapsed() < Duration::from_millis(1500) {
                    let began = Instant::now();
                    let read = inside.get().lease().deadline(Duration::from_millis(50));
                    if let Ok(total) = read.await {
                        history.note(1, Some(ReadLevel::Lease), began, Some(total));
                        answered += 1;
                    }
                }
                answered
            })
        };
        let others = cluster.client_at(TestNode((leader.0 + 1) % 3))?;
        let began = Instant::now();
        total = others.add(1).await??;
        history.note(2, None, began, Some(total));
        answered_alone += reader.await?;
        cluster.heal();
        if answered_alone > 0 && total >= 3 {
            break;
        }
    }
    let report = history.check(total)?;
    assert!(
        answered_alone > 0,
        "no read was made by the lease: {report}"
    );
    Ok(())
}

#[braft::test(nodes = 3)]
async fn a_bounded_local_read_says_how_old_a_cut_off_node_is_and_an_unbounded_one_is_stale(
    cluster: Cluster<Counter>,
) -> TestResult {
    const BOUND: Duration = Duration::from_millis(300);
    let leader = cluster.leader().await?;
    let lost = TestNode((leader.0 + 1) % 3);
    let (here, others) = (cluster.client_at(lost)?, cluster.client_at(leader)?);
    others.add(1).await??;
    // No age at all is as fresh as any read.
    assert_eq!(here.get().local_at_most(Duration::ZERO).await?, 1);
    cluster.isolate(lost);
    others.add(1).await??;
    let written = Instant::now();
    let error = loop {
        // Within the bound it may answer, and so it may be stale.
        let began = Instant::now();
        let read = here.get().local_at_most(BOUND).deadline(BOUND);
        match read.await {
            Ok(total) if began < written + BOUND => assert_eq!(total, 1),
            Ok(total) => panic!(
                "{total} was answered {:?} after the write",
                written.elapsed()
            ),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.outcome(), Outcome::NotApplied);
    let text = error.to_string();
    assert!(text.contains("old, 300ms is the most allowed"), "{text}");
    assert_eq!(here.get().local().await?, 1);
    // Through another node the client gets its answer.
    let anywhere = cluster.client();
    assert_eq!(anywhere.get().local_at_most(BOUND).await?, 2);
    cluster.heal();
    assert_eq!(here.get().local_at_most(Duration::ZERO).await?, 2);
    Ok(())
}

#[braft::test(nodes = 3)]
async fn a_client_reads_at_its_own_level_unless_the_call_says_otherwise(
    cluster: Cluster<Counter>,
) -> TestResult {
    let leader = cluster.leader().await?;
    let lost = TestNode((leader.0 + 1) % 3);
    let (here, others) = (cluster.client_at(lost)?, cluster.client_at(leader)?);
    others.add(1).await??;
    assert_eq!(here.get().await?, 1);
    cluster.isolate(lost);
    others.add(1).await??;
    let local = here.with_reads(ReadLevel::Local);
    assert_eq!(local.get().await?, 1);
    let strict = local.get().read(ReadLevel::Linearizable);
    let error = strict.deadline(Duration::from_millis(100)).await;
    assert_eq!(
        error.map_err(|error| error.kind()),
        Err(ErrorKind::Unavailable)
    );
    // The client it was made from is as it was.
    let error = here.get().deadline(Duration::from_millis(100)).await;
    assert_eq!(
        error.map_err(|error| error.kind()),
        Err(ErrorKind::Unavailable)
    );
    Ok(())
}
