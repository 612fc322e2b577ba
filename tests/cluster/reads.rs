//! How fresh reads are.

use braft::testing::{Cluster, TestNode, TestResult};

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
