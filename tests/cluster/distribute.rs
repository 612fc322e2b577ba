//! Work distribution on real clusters.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use braft::distribute::{Share, ShareState, WorkItem, WorkList, WorkLists};
use braft::http::axum;
use braft::testing::{Cluster, TestNode, TestResult};
use braft::{ErrorKind, Node};
use futures_util::StreamExt;
use tower::ServiceExt as _;

use crate::services::Counter;

const PATIENCE: Duration = Duration::from_secs(30);

fn run<Fut: Future<Output = TestResult>>(name: &str, body: impl FnOnce() -> Fut) {
    braft::testing::run_test(1, name, |_: Cluster<Counter>| body());
}

async fn cluster(nodes: usize) -> TestResult<Cluster<Counter>> {
    Cluster::start_with(nodes, |config| config.distribute()).await
}

fn list(node: &Node) -> WorkList<String> {
    node.work_list("jobs")
}

fn items(count: usize) -> Vec<WorkItem<String>> {
    let item = |number: usize| WorkItem::new(number.to_string(), format!("job {number}"));
    (1..=count).map(item).collect()
}

/// The ids of a node's share, once it has one that is as wanted.
async fn share_where(
    node: &Node,
    wanted: impl Fn(&BTreeSet<String>) -> bool,
) -> TestResult<BTreeSet<String>> {
    let mut shares = list(node).shares();
    let looking = async {
        while let Some(share) = shares.next().await {
            if let ShareState::Assigned(items) = share?.state {
                let ids = items.into_iter().map(|item| item.id).collect();
                if wanted(&ids) {
                    return Ok(ids);
                }
            }
        }
        Err("the node stopped")?
    };
    tokio::time::timeout(PATIENCE, looking).await?
}

/// Waits until the items are assigned to exactly these nodes and each knows its share; checks that
/// it is even and complete.
async fn shares(
    cluster: &Cluster<Counter>,
    nodes: impl IntoIterator<Item = usize>,
    all: usize,
) -> TestResult<Vec<BTreeSet<String>>> {
    let nodes: Vec<_> = nodes.into_iter().map(TestNode).collect();
    let ids = nodes.iter().map(|node| cluster.id(*node));
    let ids = ids.collect::<TestResult<Vec<_>>>()?;
    let first = cluster.node(nodes[0])?;
    let assigned = assigned_to(&first, &ids);
    let owned = tokio::time::timeout(PATIENCE, assigned).await??;
    let mut shares = Vec::new();
    for (node, id) in nodes.iter().zip(&ids) {
        let wanted = owned.get(id).cloned().unwrap_or_default();
        shares.push(share_where(&cluster.node(*node)?, |ids| *ids == wanted).await?);
    }
    let sizes: Vec<_> = shares.iter().map(BTreeSet::len).collect();
    assert_eq!(sizes.iter().sum::<usize>(), all, "{owned:?}");
    let (least, most) = (sizes.iter().min(), sizes.iter().max());
    assert!(
        most.zip(least)
            .is_some_and(|(most, least)| most - least <= 1)
    );
    Ok(shares)
}

/// Who has what, once these nodes and no others have something.
async fn assigned_to(
    node: &Node,
    ids: &[String],
) -> TestResult<BTreeMap<String, BTreeSet<String>>> {
    loop {
        let mut owned = BTreeMap::<_, BTreeSet<_>>::new();
        for assignment in list(node).assignments().await?.unwrap_or_default() {
            let owner = assignment.node.unwrap_or_default();
            owned.entry(owner).or_default().insert(assignment.item);
        }
        if owned.len() == ids.len() && ids.iter().all(|id| owned.contains_key(id)) {
            return Ok(owned);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_change_of_leader_never_empties_a_share() {
    run("changes of leader", || async {
        let cluster = cluster(3).await?;
        list(&cluster.node(TestNode(0))?).set(&items(7)).await??;
        let before = shares(&cluster, 0..3, 7).await?;
        // From here on nobody may be told of anything else.
        let mut following = Vec::new();
        for place in 0..3 {
            let mut shares = list(&cluster.node(TestNode(place))?).shares();
            shares.next().await.ok_or("the node stopped")??;
            following.push(tokio::spawn(shares.collect::<Vec<_>>()));
        }
        for _ in 0..3 {
            let leader = cluster.leader().await?;
            cluster.hand_over(TestNode((leader.0 + 1) % 3)).await?;
            cluster.client().add(1).await??;
        }
        let down = cluster.kill_leader().await?;
        cluster.client().add(1).await??;
        cluster.restart(down).await?;
        cluster.converged().await?;
        assert_eq!(shares(&cluster, 0..3, 7).await?, before);
        cluster.stop_all().await;
        for told in following {
            let told = told.await?;
            assert!(told.is_empty(), "a share has changed: {told:?}");
        }
        Ok(())
    });
}

#[test]
fn members_that_come_and_go_move_no_more_than_they_must() {
    run("members", || async {
        let cluster = cluster(3).await?;
        cluster.all_vote().await?;
        list(&cluster.node(TestNode(1))?).set(&items(8)).await??;
        let before = shares(&cluster, 0..3, 8).await?;
        let added = cluster.add_node().await?;
        let after = shares(&cluster, 0..4, 8).await?;
        for place in 0..3 {
            assert!(after[place].is_subset(&before[place]), "an item has moved");
        }
        let node = cluster.node(added)?;
        node.leave(PATIENCE).await?;
        let again = shares(&cluster, 0..3, 8).await?;
        for place in 0..3 {
            assert!(again[place].is_superset(&after[place]), "an item has moved");
        }
        cluster.stop_all().await;
        Ok(())
    });
}

#[test]
fn lists_and_shares_survive_the_restart_of_all_nodes() {
    run("restart", || async {
        let cluster = cluster(3).await?;
        list(&cluster.node(TestNode(2))?).set(&items(7)).await??;
        let before = shares(&cluster, 0..3, 7).await?;
        cluster.stop_all().await;
        cluster.start_all().await?;
        assert_eq!(shares(&cluster, 0..3, 7).await?, before);
        cluster.stop_all().await;
        Ok(())
    });
}

#[test]
fn each_change_of_a_share_is_told_with_a_greater_position() {
    run("positions", || async {
        let cluster = cluster(1).await?;
        let node = cluster.node(TestNode(0))?;
        let (jobs, mut shares) = (list(&node), list(&node).shares());
        let mut next = async || -> TestResult<Share<String>> {
            let next = tokio::time::timeout(PATIENCE, shares.next()).await?;
            Ok(next.ok_or("the node stopped")??)
        };
        let first = next().await?;
        assert_eq!(first.state, ShareState::Absent);
        jobs.set(&items(2)).await??;
        let mut last = next().await?;
        if last.state == ShareState::Unassigned {
            last = next().await?;
        }
        assert_eq!(last.state, ShareState::Assigned(items(2)));
        jobs.put("2", &"another job".to_owned()).await??;
        let changed = next().await?;
        assert!(changed.position > last.position && last.position > first.position);
        jobs.remove("1").await??;
        let left = next().await?;
        let item = WorkItem::new("2", "another job".to_owned());
        assert_eq!(left.state, ShareState::Assigned(vec![item]));
        assert!(left.position > changed.position);
        assert_eq!(jobs.share().await?, left);

        let numbers: WorkList<u64> = node.work_list("jobs");
        let error = numbers.share().await.err().ok_or("a text is no number")?;
        assert_eq!(error.kind(), ErrorKind::Rejected);
        cluster.stop_all().await;
        assert!(shares.next().await.is_none());
        for _ in 0..100 {
            let told = jobs.shares().next().await;
            assert!(told.is_none(), "of a node that has stopped: {told:?}");
        }
        Ok(())
    });
}

#[test]
fn a_share_is_pulled_over_http_and_says_why_there_is_none() {
    run("http", || async {
        let cluster = cluster(1).await?;
        let node = cluster.node(TestNode(0))?;
        let get = async || -> TestResult<(u16, serde_json::Value)> {
            let request = axum::extract::Request::get("/distribute/jobs");
            let answer = node
                .router()
                .oneshot(request.body(axum::body::Body::empty())?)
                .await?;
            let status = answer.status().as_u16();
            let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await?;
            Ok((status, serde_json::from_slice(&body)?))
        };
        let (status, body) = get().await?;
        assert_eq!((status, body["state"].as_str()), (404, Some("absent")));
        list(&node).set(&items(2)).await??;
        share_where(&node, |ids| ids.len() == 2).await?;
        let (status, body) = get().await?;
        assert_eq!((status, body["state"].as_str()), (200, Some("assigned")));
        let wanted = serde_json::json!([
            { "id": "1", "value": "job 1" },
            { "id": "2", "value": "job 2" },
        ]);
        assert_eq!(body["items"], wanted);
        cluster.stop_all().await;
        Ok(())
    });
}

#[test]
fn an_assignment_by_a_leader_of_the_past_is_refused() {
    run("fenced", || async {
        let cluster = cluster(1).await?;
        let lists = cluster.client_of::<WorkLists>();
        let node = cluster.node(TestNode(0))?;
        list(&node).set(&items(2)).await??;
        share_where(&node, |ids| ids.len() == 2).await?;
        let term = node.status().term;
        cluster.stop_all().await;
        cluster.start_all().await?;
        let stale = lists.assign_to(vec!["nobody".to_owned()]).fence(term).await;
        let kind = stale.map(drop).map_err(|error| error.kind());
        assert_eq!(kind, Err(ErrorKind::Fenced));
        assert_eq!(lists.assigned_to().await?, [cluster.id(TestNode(0))?]);
        cluster.stop_all().await;
        Ok(())
    });
}
