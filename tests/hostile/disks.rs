//! Data directories that are in use, damaged, or from another time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use braft::testing::{Cluster, TestNode, TestResult};
use tests::Counter;

use crate::outsider::{addresses, refusal, start};

#[braft::test(nodes = 3)]
async fn a_second_start_on_one_data_directory_is_refused_by_its_lock(
    cluster: Cluster<Counter>,
) -> TestResult {
    let counter = cluster.client();
    counter.add(1).await??;
    let directory = cluster.data_dir(TestNode(0));
    let why = refusal(start(&directory, &addresses(&cluster, 3)).await)?;
    assert!(why.contains(&directory.display().to_string()), "{why}");
    let process = format!("in use by process {}", std::process::id());
    assert!(why.contains(&process), "{why}");
    assert_eq!(counter.add(1).await??, 2);
    assert_eq!(cluster.client_at(TestNode(0))?.get().await?, 2);
    cluster.converged().await?;
    Ok(())
}

#[braft::test(nodes = 3)]
async fn a_data_directory_of_a_newer_format_is_refused_and_left_as_it_is(
    cluster: Cluster<Counter>,
) -> TestResult {
    let counter = cluster.client();
    counter.add(1).await??;
    let node = TestNode((cluster.leader().await?.0 + 1) % 3);
    let directory = cluster.data_dir(node);
    let down = cluster.kill(node).await?;
    for (file, header) in [
        (directory.join("node"), None),
        (first_segment(&directory)?, Some(SEGMENT_HEADER)),
    ] {
        let original = std::fs::read(&file)?;
        let mut bytes = original.clone();
        bytes[12..16].copy_from_slice(&2_u32.to_le_bytes());
        let crc = crc32fast::hash(&bytes[12..header.unwrap_or(bytes.len())]);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        std::fs::write(&file, &bytes)?;
        let before = content(&directory)?;
        let why = refusal(start(&directory, &addresses(&cluster, 3)).await)?;
        assert!(why.contains(&file.display().to_string()), "{why}");
        assert!(why.contains("format 2"), "{why}");
        assert_eq!(
            content(&directory)?,
            before,
            "a refused node changes nothing"
        );
        std::fs::write(&file, original)?;
        assert_eq!(counter.add(0).await??, 1);
    }
    cluster.restart(down).await?;
    cluster.converged().await?;
    Ok(())
}

#[braft::test(nodes = 3)]
async fn damage_in_the_middle_of_the_log_is_refused_and_the_others_keep_working(
    cluster: Cluster<Counter>,
) -> TestResult {
    let counter = cluster.client();
    for _ in 0..60 {
        counter.add(1).await??;
    }
    cluster.converged().await?;
    let node = TestNode((cluster.leader().await?.0 + 1) % 3);
    let directory = cluster.data_dir(node);
    let down = cluster.kill(node).await?;
    let file = first_segment(&directory)?;
    let original = std::fs::read(&file)?;
    let used = original.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    // Far below the end, so that later batches say that this one had been synced.
    let middle = SEGMENT_HEADER + (used - SEGMENT_HEADER) / 2;
    let mut bytes = original.clone();
    bytes[middle] ^= 0x20;
    std::fs::write(&file, &bytes)?;
    let before = content(&directory)?;

    let why = refusal(start(&directory, &addresses(&cluster, 3)).await)?;
    assert!(why.contains(&file.display().to_string()), "{why}");
    let offset: usize = why
        .split("damaged at byte ")
        .nth(1)
        .and_then(|rest| rest.split(':').next()?.parse().ok())
        .ok_or_else(|| format!("no offset in {why:?}"))?;
    assert!(offset <= middle && middle - offset < 1024, "{why}");
    assert_eq!(
        content(&directory)?,
        before,
        "a refused node changes nothing"
    );
    assert_eq!(counter.add(1).await??, 61);

    std::fs::write(&file, original)?;
    cluster.restart(down).await?;
    cluster.converged().await?;
    assert_eq!(cluster.client_at(node)?.get().local().await?, 61);
    Ok(())
}

/// Length of a log segment's header.
const SEGMENT_HEADER: usize = 128;

fn first_segment(directory: &Path) -> TestResult<PathBuf> {
    let segments = files(&directory.join("log"))?;
    let mut segments = segments
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "wal"));
    Ok(segments.next().ok_or("there is no segment")?)
}

/// All files below a directory, in order.
fn files(directory: &Path) -> TestResult<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// What a node keeps; the lock file is not part of it.
fn content(directory: &Path) -> TestResult<BTreeMap<PathBuf, u32>> {
    let mut content = BTreeMap::new();
    for file in files(directory)? {
        if file.file_name().is_none_or(|name| name != "LOCK") {
            let bytes = std::fs::read(&file)?;
            content.insert(file, crc32fast::hash(&bytes));
        }
    }
    Ok(content)
}
