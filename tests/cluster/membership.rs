//! Members that die, leave, come back, and move.

use std::time::Duration;

use braft::testing::{Cluster, TestNode, TestResult};
use braft::{ErrorKind, Outcome};

use crate::services::Counter;

/// Short, so that tests need not wait two minutes for a death.
const DEAD_AFTER: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(20);

async fn cluster(nodes: usize) -> TestResult<Cluster<Counter>> {
    let cluster =
        Cluster::<Counter>::start_with(nodes, |config| config.dead_after(DEAD_AFTER)).await?;
    cluster.all_vote().await?;
    Ok(cluster)
}

/// Runs the body of a test.
async fn check(body: impl Future<Output = TestResult>) {
    if let Err(error) = body.await {
        panic!("{error}");
    }
}

/// A node that does not lead.
async fn follower(cluster: &Cluster<Counter>, nodes: usize) -> TestResult<TestNode> {
    Ok(TestNode((cluster.leader().await?.0 + 1) % nodes))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_is_removed_and_is_a_member_again_when_it_comes_back() {
    check(async {
        let cluster = cluster(3).await?;
        let counter = cluster.client();
        counter.add(1).await??;
        let lost = follower(&cluster, 3).await?;
        let id = cluster.id(lost)?;
        let down = cluster.kill(lost).await?;
        let status = cluster.removed(&id).await?;
        assert_eq!(status.members.len(), 2);
        counter.add(1).await??;
        cluster.restart(down).await?;
        cluster.votes(lost).await?;
        assert_eq!(cluster.id(lost)?, id, "it came back as another node");
        cluster.converged().await?;
        assert_eq!(cluster.client_at(lost)?.get().local().await?, 2);
        cluster.stop_all().await;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_cut_off_until_it_was_removed_comes_back() {
    check(async {
        let cluster = cluster(3).await?;
        let counter = cluster.client();
        let lost = follower(&cluster, 3).await?;
        let id = cluster.id(lost)?;
        cluster.isolate(lost);
        cluster.removed(&id).await?;
        counter.add(1).await??;
        cluster.heal();
        cluster.votes(lost).await?;
        cluster.converged().await?;
        assert_eq!(cluster.client_at(lost)?.get().local().await?, 1);
        cluster.stop_all().await;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_nodes_stay_writable_while_three_die_one_after_another() {
    check(async {
        let cluster = cluster(5).await?;
        let counter = cluster.client();
        for left in [4, 3, 2] {
            let leader = cluster.leader().await?;
            let id = cluster.id(leader)?;
            // The hardest one: whoever leads.
            let _ = cluster.kill(leader).await?;
            counter.add(1).await??;
            let status = cluster.removed(&id).await?;
            let voters = status.members.iter().filter(|member| member.votes);
            assert_eq!((voters.count(), status.members.len()), (left, left));
        }
        assert_eq!(counter.get().await?, 3);
        cluster.stop_all().await;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_voter_is_removed_below_the_floor_and_the_status_says_why() {
    check(async {
        let cluster =
            Cluster::<Counter>::start_with(3, |config| config.dead_after(DEAD_AFTER).min_voters(3))
                .await?;
        cluster.all_vote().await?;
        let lost = follower(&cluster, 3).await?;
        let id = cluster.id(lost)?;
        let down = cluster.kill(lost).await?;
        let status = cluster
            .status_where("the refusal in the status", |status| {
                let mut lines = status.outlook.iter();
                lines.any(|line| line.contains("min_voters is 3"))
            })
            .await?;
        let member = status.members.iter().find(|member| member.id == id);
        let member = member.ok_or("it was removed")?;
        assert_eq!(member.health.as_deref(), Some("dead"));
        assert!(
            member
                .outlook
                .as_ref()
                .is_some_and(|why| why.contains("not removed"))
        );
        cluster.restart(down).await?;
        cluster.converged().await?;
        cluster.stop_all().await;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_not_let_go_while_another_one_is_down() {
    check(async {
        let cluster = Cluster::<Counter>::start_with(3, |config| {
            config.dead_after(Duration::from_secs(3600))
        })
        .await?;
        cluster.all_vote().await?;
        let counter = cluster.client();
        let leader = cluster.leader().await?;
        let (down, asked) = (TestNode((leader.0 + 1) % 3), TestNode((leader.0 + 2) % 3));
        let id = cluster.id(asked)?;
        let stopped = cluster.kill(down).await?;
        // The two that are up would be one of two: nothing could be committed any more.
        let refused = cluster
            .node(leader)?
            .remove_member(&id, Duration::from_secs(3))
            .await;
        let error = refused.expect_err("the rest is no majority");
        assert!(
            error.to_string().contains("too few are in contact"),
            "{error}"
        );
        counter.add(1).await??;
        // Nor later, when it could be: whoever asked was told no.
        cluster.restart(stopped).await?;
        cluster.converged().await?;
        let status = cluster.votes(asked).await?;
        assert_eq!(status.members.len(), 3);
        cluster.node(leader)?.remove_member(&id, PATIENCE).await?;
        assert_eq!(cluster.removed(&id).await?.members.len(), 2);
        cluster.stop_all().await;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_node_takes_the_place_of_its_former_self() {
    check(async {
        let cluster = cluster(3).await?;
        let counter = cluster.client();
        counter.add(1).await??;
        let lost = follower(&cluster, 3).await?;
        let former = cluster.id(lost)?;
        let down = cluster.kill(lost).await?;
        cluster.wipe(&down)?;
        cluster.restart(down).await?;
        assert_ne!(cluster.id(lost)?, former, "a wiped node kept its id");
        cluster.votes(lost).await?;
        let status = cluster.removed(&former).await?;
        assert_eq!(status.members.len(), 3);
        cluster.converged().await?;
        cluster.stop_all().await;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_way_cuts_heal() {
    check(async {
        let cluster = cluster(3).await?;
        let counter = cluster.client();
        let leader = cluster.leader().await?;
        let deaf = follower(&cluster, 3).await?;
        let id = cluster.id(deaf)?;
        // It can speak, and is not spoken to: it must neither unseat the leader nor stay a voter.
        cluster.cut(leader, deaf);
        let term = cluster.node(leader)?.status().term;
        cluster.removed(&id).await?;
        counter.add(1).await??;
        assert_eq!(
            cluster.node(leader)?.status().term,
            term,
            "it unseated the leader"
        );
        cluster.heal();
        cluster.votes(deaf).await?;
        cluster.converged().await?;
        assert_eq!(counter.get().await?, 1);
        cluster.stop_all().await;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_leaves_stays_out_and_says_so() {
    check(async {
        let cluster = cluster(3).await?;
        let counter = cluster.client();
        counter.add(1).await??;
        let leader = cluster.leader().await?;
        let node = cluster.node(leader)?;
        let id = cluster.id(leader)?;
        node.leave(PATIENCE).await?;
        let status = cluster.removed(&id).await;
        drop(node);
        let _ = cluster.kill(leader).await?;
        let status = match status {
            Ok(status) => status,
            Err(_) => cluster.removed(&id).await?,
        };
        assert_eq!(status.members.len(), 2);
        assert_eq!(counter.add(1).await??, 2);
        // It comes back by mistake: it is told, and deletes nothing.
        cluster.start_all().await?;
        let told = cluster.node(leader)?;
        cluster
            .eventually("the node to be told", || {
                told.status().formation.contains("stays out")
            })
            .await?;
        assert_eq!(told.client::<Counter>().get().local().await?, 1);
        assert_eq!(cluster.removed(&id).await?.members.len(), 2);
        cluster.stop_all().await;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_two_voters_cannot_leave_and_learn_why() {
    check(async {
        let cluster = cluster(2).await?;
        let node = cluster.node(TestNode(0))?;
        let refused = node.leave(Duration::from_secs(3)).await;
        let error = refused.expect_err("two voters are the floor");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("min_voters is 2"), "{error}");
        cluster.client().add(1).await??;
        cluster.stop_all().await;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_at_new_addresses_find_each_other() {
    check(async {
        let cluster = cluster(3).await?;
        cluster.client().add(1).await??;
        cluster.stop_all().await;
        cluster.restart_all_elsewhere().await?;
        assert_eq!(cluster.client().add(1).await??, 2);
        cluster.converged().await?;
        let addresses: Vec<_> = (0..3)
            .map(|place| cluster.address(TestNode(place)))
            .collect();
        cluster
            .status_where("the new addresses to be committed", |status| {
                let mut members = status.members.iter();
                members.all(|member| addresses.contains(&member.address))
            })
            .await?;
        cluster.stop_all().await;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_swap_their_addresses_are_not_taken_for_each_other() {
    check(async {
        let cluster = cluster(3).await?;
        cluster.client().add(1).await??;
        let ids: Vec<_> = (0..3)
            .map(|place| cluster.id(TestNode(place)))
            .collect::<Result<_, _>>()?;
        cluster.stop_all().await;
        cluster.restart_with_swapped_addresses().await?;
        assert_eq!(cluster.client().add(1).await??, 2);
        cluster.converged().await?;
        for (place, id) in ids.iter().enumerate() {
            assert_eq!(&cluster.id(TestNode(place))?, id);
            assert_eq!(cluster.client_at(TestNode(place))?.get().local().await?, 2);
        }
        cluster.stop_all().await;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_at_a_new_address_is_found_by_the_others() {
    check(async {
        let cluster = cluster(3).await?;
        let counter = cluster.client();
        let moved = follower(&cluster, 3).await?;
        let down = cluster.kill(moved).await?;
        counter.add(1).await??;
        cluster.restart_elsewhere(down).await?;
        let (id, address) = (cluster.id(moved)?, cluster.address(moved));
        cluster
            .status_where("the new address to be committed", |status| {
                let mut members = status.members.iter();
                members.any(|member| member.id == id && member.address == address)
            })
            .await?;
        cluster.converged().await?;
        cluster.stop_all().await;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_was_put_back_to_an_earlier_state_is_refused() {
    check(async {
        let cluster = Cluster::<Counter>::start(3).await?;
        let counter = cluster.client();
        counter.add(1).await??;
        let lost = follower(&cluster, 3).await?;
        let down = cluster.kill(lost).await?;
        let copy = tempfile::tempdir()?;
        copy_dir(&cluster.data_dir(lost), copy.path())?;
        cluster.restart(down).await?;
        for _ in 0..20 {
            counter.add(1).await??;
        }
        cluster.converged().await?;
        let down = cluster.kill(lost).await?;
        cluster.wipe(&down)?;
        copy_dir(copy.path(), &cluster.data_dir(lost))?;
        cluster.restart(down).await?;
        let why = cluster.why_stopped(lost).await?;
        assert!(why.contains("was put back"), "{why}");
        // Whoever asks it is told the same, at once.
        let refused = cluster.client_at(lost)?.add(1).await;
        let error = refused.err().ok_or("it was carried out")?;
        assert_eq!(error.kind(), ErrorKind::Fatal, "{error:?}");
        assert_eq!(error.outcome(), Outcome::NotApplied, "{error:?}");
        assert!(error.to_string().contains("was put back"), "{error}");
        cluster
            .eventually("its port to be closed", || {
                std::net::TcpListener::bind(cluster.address(lost)).is_ok()
            })
            .await?;
        assert_eq!(counter.add(1).await??, 22);
        cluster.stop_all().await;
        Ok(())
    })
    .await;
}

fn copy_dir(from: &std::path::Path, to: &std::path::Path) -> TestResult {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
