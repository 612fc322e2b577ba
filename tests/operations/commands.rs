//! Commands on a running cluster.

use braft::testing::{Cluster, TestNode, TestResult};
use tests::Counter;

use crate::line::{braft, check, json};

fn others(leader: TestNode) -> [TestNode; 2] {
    let mut others = (0..3).map(TestNode).filter(|node| *node != leader);
    [(); 2].map(|()| others.next().expect("there are three"))
}

#[braft::test(nodes = 3)]
async fn any_node_shows_the_cluster_and_takes_the_leaders_commands(
    cluster: Cluster<Counter>,
) -> TestResult {
    cluster.client().add(1).await??;
    cluster.all_vote().await?;
    let leader = cluster.leader().await?;
    let [one, other] = others(leader);
    let follower = cluster.address(one);
    let dead = "127.0.0.1:1";
    let at = ["--address", dead, "--address", &follower];

    let nodes = json(&[&["status"], &at[..]].concat()).await?;
    assert_eq!(nodes.as_array().map(Vec::len), Some(3));
    let roles = nodes.as_array().into_iter().flatten();
    assert_eq!(roles.filter(|node| node["role"] == "leader").count(), 1);
    let alone = json(&["status", "--only", "--address", &follower]).await?;
    assert_eq!(alone[0]["address"], follower.as_str());
    assert_eq!(alone.as_array().map(Vec::len), Some(1));

    let known = |status: &braft::Status| status.members.iter().all(|it| it.health.is_some());
    cluster
        .status_where("the leader to know its members", known)
        .await?;
    let members = json(&[&["members"], &at[..]].concat()).await?;
    let members = members.as_array().ok_or("a list")?;
    assert!(members.iter().all(|member| !member["health"].is_null()));

    let to = cluster.id(other)?;
    let led = json(&[&["transfer-leader", to.as_str()], &at[..]].concat()).await?;
    assert_eq!(led["leader"], to.as_str());
    assert_eq!(cluster.leader().await?, other);

    let written = json(&["snapshot", "--address", &follower]).await?;
    let status = cluster.node(one)?.status();
    assert_eq!(written["index"], status.log.snapshot_index);
    assert!(written["bytes"].as_u64() > Some(0));

    let schema = json(&["schema", "Counter", "--address", &follower]).await?;
    let wanted = braft::schema::<Counter>().to_string();
    assert_eq!(schema["Counter"], wanted.as_str());
    let none = braft(&["schema", "Teller", "--address", &follower]).await;
    none.failed(1, &["no service Teller", "it has Counter"])?;
    Ok(())
}

#[braft::test(nodes = 3)]
async fn settings_are_changed_on_all_members_alike(cluster: Cluster<Counter>) -> TestResult {
    cluster.client().add(1).await??;
    let [one, other] = others(cluster.leader().await?).map(|node| cluster.address(node));
    let before = json(&["settings", "--address", &one]).await?;
    let changed = [
        "settings",
        "max_sessions=321",
        "on_panic=halt",
        "--address",
        &one,
    ];
    json(&changed).await?;
    let after = json(&["settings", "--address", &other]).await?;
    assert_eq!(
        (&after["max_sessions"], &after["on_panic"]),
        (&321.into(), &"halt".into())
    );
    assert_eq!(after["dead_after_ms"], before["dead_after_ms"]);
    cluster.converged().await?;

    for (change, words) in [
        ("max_session=1", "there is no setting \"max_session\""),
        ("max_voters=0", "max_voters must be at least 1"),
        ("min_voters=9", "no number of voters is both"),
        ("on_panic=perhaps", "perhaps"),
        ("max_sessions=many", "max_sessions cannot be"),
        ("max_sessions", "write NAME=VALUE"),
    ] {
        let refused = braft(&["settings", change, "--address", &one]).await;
        refused.failed(1, &[words])?;
    }
    assert_eq!(json(&["settings", "--address", &one]).await?, after);
    cluster.stop_all().await;
    cluster.start_all().await?;
    cluster.leader().await?;
    assert_eq!(json(&["settings", "--address", &one]).await?, after);
    Ok(())
}

#[braft::test(nodes = 3)]
async fn a_member_is_removed_by_the_plan_or_the_reason_is_told(
    cluster: Cluster<Counter>,
) -> TestResult {
    cluster.all_vote().await?;
    let leader = cluster.leader().await?;
    let [one, other] = others(leader);
    let at = cluster.address(one);
    // The one that leads, asked for at another one: it hands over first.
    let led = cluster.id(leader)?;
    json(&["remove", &led, "--address", &at]).await?;
    cluster.removed(&led).await?;
    let last = cluster.id(other)?;
    let refused = braft(&["remove", &last, "--address", &at, "--timeout", "5"]).await;
    refused.failed(3, &["min_voters is 2"])?;
    let nobody = braft(&["remove", "nobody", "--address", &at]).await;
    nobody.failed(1, &["nobody is no member"])?;
    assert_eq!(cluster.client_at(one)?.add(4).await??, 4);
    Ok(())
}

#[braft::test(nodes = 1)]
async fn a_node_that_knows_of_no_cluster_is_taken_in(cluster: Cluster<Counter>) -> TestResult {
    let counter = cluster.client();
    counter.add(3).await??;
    let dir = tempfile::tempdir()?;
    let config = braft::Config::new()
        .service::<Counter>()
        .cluster_name("test")
        .data_dir(dir.path())
        .without_http()
        .ip("127.0.0.1".parse()?)
        .raft_port(0)
        .discovery(braft::StaticList::new([]))
        .expect_nodes(9);
    let node = braft::start(config).await?;
    let at = cluster.address(TestNode(0));
    let added = json(&["add", node.address(), "--address", &at, "--timeout", "20"]).await?;
    assert_eq!(added["added"], node.status().node_id.as_str());
    node.ready().await;
    assert_eq!(node.client::<Counter>().get().await?, 3);
    let again = json(&["add", node.address(), "--address", &at]).await?;
    assert_eq!(again, added);
    let nobody = braft(&["add", "127.0.0.1:1", "--address", &at]).await;
    nobody.failed(3, &["nobody answers the leader at 127.0.0.1:1"])?;
    node.shutdown(std::time::Duration::from_secs(5)).await;
    Ok(())
}

#[tokio::test]
async fn the_exit_code_says_whose_fault_it_is() {
    check(exit_codes()).await;
}

async fn exit_codes() -> TestResult {
    let silent = ["status", "--address", "127.0.0.1:1"];
    let none = braft(&silent).await;
    none.failed(3, &["no node answers at 127.0.0.1:1", "--address"])?;
    let told = braft(&[&silent[..], &["--json"]].concat()).await;
    let error: serde_json::Value = serde_json::from_str(&told.err)?;
    assert_eq!(error["code"], 3);
    braft(&["stauts"]).await.failed(2, &["status"])?;
    braft(&[]).await.failed(2, &["Usage"])?;
    let version = braft(&["--version"]).await.done()?;
    assert!(version.out.starts_with("braft "), "{version:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = braft(&["completions", shell]).await.done()?;
        assert!(script.out.contains("transfer-leader"), "{shell}");
    }
    Ok(())
}
