//! What is left of a cluster becomes a new one.

use std::time::Duration;

use braft::Config;
use braft::testing::{Cluster, TestNode, TestResult};
use tests::Ledger;

use crate::line::{braft, check, json};

fn config(config: Config) -> Config {
    config.snapshot_every(30).keep_log_entries(5)
}

#[braft::test(nodes = 3)]
async fn one_of_three_disks_becomes_a_cluster_and_the_old_ones_keep_out(
    cluster: Cluster<Ledger>,
) -> TestResult {
    one_of_three(cluster).await
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_one_that_has_written_snapshots() {
    check(async { one_of_three(Cluster::start_with(3, config).await?).await }).await;
}

async fn one_of_three(cluster: Cluster<Ledger>) -> TestResult {
    let old_client = cluster.client();
    for id in 0..100 {
        old_client.record(id, "ballast").await?;
    }
    cluster.converged().await?;
    let old_cluster = cluster.node(TestNode(0))?.status().cluster_id;
    let [left, lost, other] = [
        cluster.kill(TestNode(0)).await?,
        cluster.kill(TestNode(1)).await?,
        cluster.kill(TestNode(2)).await?,
    ];
    let dir = cluster.data_dir(TestNode(0));
    let dir_text = dir.to_str().ok_or("a name")?;
    let verified = json(&["log", "verify", "--data-dir", dir_text]).await?;

    let asked = braft(&["recover", "--data-dir", dir_text]).await;
    let last = format!("index {}", verified["last"]["index"]);
    asked.failed(
        1,
        &[
            "last entry",
            &last,
            "is lost",
            "--yes",
            "nothing was changed",
        ],
    )?;
    let unchanged = json(&["log", "verify", "--data-dir", dir_text]).await?;
    assert_eq!(unchanged, verified);

    let recovered = json(&["recover", "--data-dir", dir_text, "--yes"]).await?;
    assert_ne!(recovered["cluster_id"], old_cluster.as_str());
    let kept = recovered["kept_in"].as_str().ok_or("a directory")?;
    let old_data = json(&["log", "verify", "--data-dir", kept]).await?;
    assert_eq!(old_data, verified);

    cluster.restart(left).await?;
    let node = cluster.node(TestNode(0))?;
    tokio::time::timeout(Duration::from_secs(30), node.ready()).await?;
    let new_client = node.client::<Ledger>();
    let all: Vec<u64> = (0..100).collect();
    assert_eq!(new_client.missing(&all).await?, Vec::<u64>::new());
    assert_eq!(new_client.doubled().await?, Vec::<u64>::new());
    assert_eq!(new_client.record(7, "ballast").await?, 2);
    assert_eq!(node.status().cluster_id, recovered["cluster_id"]);
    assert_eq!(node.status().members.len(), 1);

    // A client of the old cluster is told that this is another one.
    let told = old_client
        .record(1000, "ballast")
        .deadline(Duration::from_secs(3));
    let told = told.await.expect_err("it was let in");
    assert_eq!(told.outcome(), braft::Outcome::NotApplied);
    assert!(told.to_string().contains("belongs to cluster"), "{told}");

    // The old nodes come back with the old data: two clusters that never merge, and say so.
    cluster.restart(lost).await?;
    cluster.restart(other).await?;
    let says = |node: TestNode, id: &str| {
        let status = cluster.node(node).map(|node| node.status());
        status.is_ok_and(|status| {
            let formation = &status.formation;
            status.cluster_id == id && formation.contains("belongs to another cluster")
        })
    };
    let new_id = recovered["cluster_id"].as_str().ok_or("an id")?.to_owned();
    cluster
        .eventually("both sides to say that they never merge", || {
            says(TestNode(0), &new_id) && says(TestNode(1), &old_cluster)
        })
        .await?;
    assert_eq!(node.status().members.len(), 1);
    assert_eq!(new_client.record(7, "ballast").await?, 3);

    // Without its data an old node joins the new cluster.
    cluster.stop_all().await;
    for lost in [TestNode(1), TestNode(2)] {
        std::fs::remove_dir_all(cluster.data_dir(lost))?;
    }
    cluster.start_all().await?;
    cluster.all_vote().await?;
    cluster.converged().await?;
    assert_eq!(cluster.client().record(7, "ballast").await?, 4);
    Ok(())
}

#[braft::test(nodes = 3)]
async fn what_was_never_acknowledged_is_kept_and_said_to_be(
    cluster: Cluster<Ledger>,
) -> TestResult {
    let leader = cluster.leader().await?;
    let at_the_leader = cluster.client_at(leader)?;
    at_the_leader.record(1, "acknowledged").await?;
    cluster.converged().await?;
    // It does not know yet that nobody hears it.
    cluster.isolate(leader);
    let alone = at_the_leader.record(2, "on one disk");
    let lost = alone.deadline(Duration::from_secs(2)).await;
    let lost = lost.expect_err("nobody else has it");
    assert_eq!(lost.outcome(), braft::Outcome::Unknown);
    let down = cluster.kill(leader).await?;
    let dir = cluster.data_dir(leader);
    let name = dir.to_str().ok_or("a name")?;
    let recovered = braft(&["recover", "--yes", "--data-dir", name])
        .await
        .done()?;
    let said = "entries of its log are not known to be committed";
    assert!(recovered.err.contains(said), "{recovered:?}");
    cluster.restart(down).await?;
    let node = cluster.node(leader)?;
    tokio::time::timeout(Duration::from_secs(30), node.ready()).await?;
    let ledger = node.client::<Ledger>();
    assert_eq!(ledger.missing(&[1, 2]).await?, Vec::<u64>::new());
    assert_eq!(ledger.doubled().await?, Vec::<u64>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_disk_is_not_recovered() {
    check(damaged_disk()).await;
}

async fn damaged_disk() -> TestResult {
    let cluster = Cluster::<Ledger>::start_with(1, config).await?;
    for id in 0..80 {
        cluster.client().record(id, "ballast").await?;
    }
    json(&["snapshot", "--address", &cluster.address(TestNode(0))]).await?;
    let _ = cluster.kill(TestNode(0)).await?;
    let dir = cluster.data_dir(TestNode(0));
    let name = dir.to_str().ok_or("a name")?;
    let snapshot = std::fs::read_dir(dir.join("snapshots"))?.next();
    let snapshot = snapshot.ok_or("a snapshot")??.path();
    let mut bytes = std::fs::read(&snapshot)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&snapshot, bytes)?;
    for command in [
        &["log", "verify", "--data-dir", name][..],
        &["recover", "--yes", "--data-dir", name],
    ] {
        braft(command).await.failed(4, &["is damaged"])?;
    }
    assert!(!dir.join("unfinished").exists());
    Ok(())
}

#[tokio::test]
async fn what_is_no_data_of_a_cluster_is_refused() {
    check(nothing_to_work_on()).await;
}

async fn nothing_to_work_on() -> TestResult {
    let dir = tempfile::tempdir()?;
    let name = dir.path().to_str().ok_or("a name")?;
    for command in [
        &["recover", "--yes", "--data-dir", name][..],
        &["log", "verify", "--data-dir", name],
        &["log", "dump", "--data-dir", name],
    ] {
        let refused = braft(command).await;
        refused.failed(1, &[name, "is not the data directory of a node"])?;
    }
    assert_eq!(
        std::fs::read_dir(dir.path())?.count(),
        0,
        "nothing was written"
    );
    Ok(())
}

#[braft::test(nodes = 1)]
async fn the_data_of_a_running_node_is_left_alone(cluster: Cluster<Ledger>) -> TestResult {
    cluster.client().record(1, "secret").await?;
    let dir = cluster.data_dir(TestNode(0));
    let name = dir.to_str().ok_or("a name")?;
    for command in [
        &["recover", "--yes", "--data-dir", name][..],
        &["log", "verify", "--data-dir", name],
    ] {
        braft(command).await.failed(4, &["is in use by process"])?;
    }
    let down = cluster.kill(TestNode(0)).await?;
    let dumped = braft(&["log", "dump", "--data-dir", name]).await.done()?;
    assert!(dumped.out.contains("command Ledger.record"), "{dumped:?}");
    let digits: String = b"secret".iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!dumped.out.contains(&digits));
    let whole = ["log", "dump", "--payloads", "--json", "--data-dir", name];
    assert!(braft(&whole).await.done()?.out.contains(&digits));
    cluster.restart(down).await?;
    Ok(())
}
