//! Backups of clusters under load, and clusters made of them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use braft::testing::{Cluster, TestNode, TestResult};
use tests::{Ledger, LedgerClient};

use crate::line::{braft, json};

/// Records ids, one after the other, until it is told to stop. Gives how many were acknowledged.
async fn write(ledger: LedgerClient, stop: Arc<AtomicBool>) -> TestResult<u64> {
    let mut id = 1000;
    while !stop.load(Ordering::Relaxed) {
        ledger.record(id, "ballast").await?;
        id += 1;
    }
    Ok(id - 1000)
}

/// A cluster whose first node finds a directory that was prepared for it.
async fn seeded(dir: &Path, nodes: usize) -> TestResult<Cluster<Ledger>> {
    let first = AtomicBool::new(true);
    let dir = dir.to_path_buf();
    Cluster::start_with(nodes, move |config| {
        if first.swap(false, Ordering::Relaxed) {
            config.data_dir(&dir)
        } else {
            config
        }
    })
    .await
}

/// The digest of a service's state in a backup.
async fn digest(file: &str, service: &str) -> TestResult<String> {
    let described = json(&["backup", "--verify", file]).await?;
    let parts = described["parts"].as_array().ok_or("a list")?;
    let part = parts.iter().find(|part| part["name"] == service);
    let digest = part.and_then(|part| part["digest"].as_str());
    Ok(digest.ok_or("the service is not in it")?.to_owned())
}

#[braft::test(nodes = 3)]
async fn a_backup_under_load_becomes_a_cluster_of_another_size_with_the_same_state(
    cluster: Cluster<Ledger>,
) -> TestResult {
    let ledger = cluster.client();
    for id in 0..50 {
        ledger.record(id, "before").await?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn(write(cluster.client(), stop.clone()));
    let scratch = tempfile::tempdir()?;
    let [file, again] = ["a.backup", "b.backup"].map(|name| scratch.path().join(name));
    let (file, again) = (
        file.to_str().ok_or("a name")?,
        again.to_str().ok_or("a name")?,
    );
    let follower = (cluster.leader().await?.0 + 1) % 3;
    let at = cluster.address(TestNode(follower));
    let taken = json(&["backup", file, "--address", &at]).await?;
    stop.store(true, Ordering::Relaxed);
    assert!(writing.await?? > 0);
    let second = braft(&["backup", file, "--address", &at]).await;
    second.failed(1, &["is there already"])?;

    let dir = scratch.path().join("data");
    let dir_text = dir.to_str().ok_or("a name")?;
    let restored = json(&["restore", "--file", file, "--data-dir", dir_text]).await?;
    assert_ne!(restored["cluster_id"], taken["cluster_id"]);
    let new = seeded(&dir, 5).await?;
    new.all_vote().await?;
    new.converged().await?;
    assert_eq!(
        new.node(TestNode(0))?.status().cluster_id,
        restored["cluster_id"]
    );

    // No session of the old cluster answers here.
    assert_eq!(new.node(TestNode(0))?.status().sessions, 0);

    // What was acknowledged before the backup was asked for, and nothing twice.
    let restored = new.client();
    let before: Vec<u64> = (0..50).collect();
    assert_eq!(restored.missing(&before).await?, Vec::<u64>::new());
    assert_eq!(restored.doubled().await?, Vec::<u64>::new());
    json(&["backup", again, "--address", &new.address(TestNode(4))]).await?;
    let service = "service/Ledger";
    assert_eq!(digest(again, service).await?, digest(file, service).await?);

    // It is a cluster like any other.
    assert_eq!(restored.record(7, "after").await?, 2);
    let down = new.kill_leader().await?;
    assert_eq!(restored.record(7, "after").await?, 3);
    new.restart(down).await?;
    new.converged().await?;
    Ok(())
}

#[braft::test(nodes = 1)]
async fn a_damaged_backup_and_a_directory_with_data_are_refused(
    cluster: Cluster<Ledger>,
) -> TestResult {
    let ledger = cluster.client();
    for id in 0..20 {
        ledger.record(id, "ballast").await?;
    }
    let scratch = tempfile::tempdir()?;
    let file = scratch.path().join("a.backup");
    let name = file.to_str().ok_or("a name")?;
    let at = cluster.address(TestNode(0));
    json(&["backup", name, "--address", &at]).await?;
    let whole = std::fs::read(&file)?;
    let dir = scratch.path().join("data");
    let dir_text = dir.to_str().ok_or("a name")?;
    // Each byte of both ends, and some in between; all of them in the tests of the format.
    let ends = (0..64).chain(whole.len() - 64..whole.len());
    for at in ends.chain((64..whole.len() - 64).step_by(97)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&file, bytes)?;
        braft(&["backup", "--verify", name])
            .await
            .failed(4, &[name])?;
        let restored = braft(&["restore", "--file", name, "--data-dir", dir_text]).await;
        restored.failed(4, &[name])?;
        assert!(!dir.exists(), "nothing was made of it");
    }
    std::fs::write(&file, &whole)?;
    json(&["restore", "--file", name, "--data-dir", dir_text]).await?;
    let before = std::fs::read(dir.join("node"))?;
    let twice = braft(&["restore", "--file", name, "--data-dir", dir_text]).await;
    twice.failed(1, &["is not empty", "nothing was changed"])?;
    assert_eq!(std::fs::read(dir.join("node"))?, before);

    // One that was cut short is begun again, and no node starts there before.
    std::fs::rename(dir.join("node"), dir.join("unfinished"))?;
    let unreadable = braft(&["restore", "--file", name, "--data-dir", dir_text]).await;
    unreadable.failed(4, &["unfinished is damaged"])?;
    Ok(())
}
