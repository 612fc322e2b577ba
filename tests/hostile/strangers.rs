//! Processes that are not what they seem: of another cluster, copied, or wiped.

use std::path::Path;

use braft::testing::{Cluster, TestNode, TestResult};
use tests::Counter;

use crate::outsider::{addresses, fate, start, until};

#[braft::test(nodes = 3)]
async fn a_copied_data_directory_is_stopped_and_the_original_keeps_working(
    cluster: Cluster<Counter>,
) -> TestResult {
    let counter = cluster.client();
    for _ in 0..20 {
        counter.add(1).await??;
    }
    let original = TestNode((cluster.leader().await?.0 + 1) % 3);
    let scratch = tempfile::tempdir()?;
    let down = cluster.kill(original).await?;
    copy(&cluster.data_dir(original), scratch.path())?;
    cluster.restart(down).await?;
    counter.add(1).await??;
    cluster.converged().await?;

    let why = match start(scratch.path(), &addresses(&cluster, 3)).await {
        Ok(copied) => {
            let why = fate(&copied).await?;
            copied.shutdown(std::time::Duration::from_secs(10)).await;
            why
        }
        Err(error) => error.to_string(),
    };
    assert!(why.contains("two processes run with node id"), "{why}");
    assert!(why.contains("a data directory was copied"), "{why}");

    assert_eq!(counter.add(1).await??, 22);
    // The original is still a full member: its leader gets along without the third node.
    let third = (0..3).map(TestNode).find(|node| *node != original);
    let down = cluster.kill(third.expect("there are three")).await?;
    assert_eq!(counter.add(1).await??, 23);
    cluster.restart(down).await?;
    cluster.converged().await?;
    Ok(())
}

#[braft::test(nodes = 3)]
async fn an_old_address_with_a_wiped_node_behind_it_joins_as_a_new_member(
    cluster: Cluster<Counter>,
) -> TestResult {
    let counter = cluster.client();
    for _ in 0..20 {
        counter.add(1).await??;
    }
    let wiped = TestNode((cluster.leader().await?.0 + 1) % 3);
    let down = cluster.kill(wiped).await?;
    let identity = cluster.data_dir(wiped).join("node");
    let before = std::fs::read(&identity)?;
    std::fs::remove_dir_all(cluster.data_dir(wiped))?;
    cluster.restart(down).await?;
    // It forms no cluster of its own with the other wiped disks it may meet; it asks to join.
    assert_eq!(counter.add(1).await??, 21);
    until("the wiped node to catch up", || async {
        let Ok(wiped) = cluster.client_at(wiped) else {
            return false;
        };
        wiped.get().local().await.is_ok_and(|total| total == 21)
    })
    .await?;
    cluster.converged().await?;
    assert_ne!(std::fs::read(&identity)?, before, "an id is never reused");
    Ok(())
}

fn copy(from: &Path, to: &Path) -> TestResult {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
