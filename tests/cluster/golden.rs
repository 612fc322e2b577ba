//! The data directory of a node of each release so far is still read.
//!
//! `tests/fixtures/VERSION/data` is the data of one node that recorded the numbers 0 to 59, with a
//! snapshot on the way. Files are kept without the zeros at their end, which `lengths` counts.
//! `BRAFT_BLESS=1 cargo test --workspace golden` writes those of this
//! version, and the messages and log entries beside them (`braft/src/golden.rs`).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use braft::Config;
use braft::testing::{Cluster, TestNode, TestResult};
use tests::Ledger;

const RECORDED: u64 = 60;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The folder of this minor version.
fn own() -> PathBuf {
    fixtures().join(concat!(
        env!("CARGO_PKG_VERSION_MAJOR"),
        ".",
        env!("CARGO_PKG_VERSION_MINOR")
    ))
}

fn config(config: Config) -> Config {
    config.snapshot_every(20).keep_log_entries(5)
}

/// The files below a directory, by their paths in it.
fn files(dir: &Path) -> TestResult<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_path_buf()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                left.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(dir)?.to_path_buf());
            }
        }
    }
    found.sort();
    Ok(found)
}

fn pack(from: &Path, to: &Path) -> TestResult {
    drop(fs::remove_dir_all(to));
    let mut lengths = String::new();
    let is_data = |path: &&PathBuf| {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        name != "LOCK" && !name.ends_with(".tmp")
    };
    for path in files(from)?.iter().filter(is_data) {
        let content = fs::read(from.join(path))?;
        let used = content
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        lengths += &format!("{} {}\n", path.display(), content.len());
        let target = to.join("data").join(path);
        fs::create_dir_all(target.parent().ok_or("a file in a folder")?)?;
        fs::write(target, &content[..used])?;
    }
    fs::write(to.join("lengths"), lengths)?;
    Ok(())
}

fn unpack(from: &Path, to: &Path) -> TestResult {
    drop(fs::remove_dir_all(to));
    for line in fs::read_to_string(from.join("lengths"))?.lines() {
        let (path, length) = line.split_once(' ').ok_or("a path and a length")?;
        let mut content = fs::read(from.join("data").join(path))?;
        content.resize(length.parse()?, 0);
        let target = to.join(path);
        fs::create_dir_all(target.parent().ok_or("a file in a folder")?)?;
        fs::write(target, content)?;
    }
    Ok(())
}

/// Records all numbers, and waits for a snapshot on the way.
async fn bless() -> TestResult {
    let cluster = Cluster::<Ledger>::start_with(1, config).await?;
    let ledger = cluster.client();
    for id in 0..RECORDED / 2 {
        ledger.record(id, "").await?;
    }
    let node = cluster.node(TestNode(0))?;
    let written = || node.status().log.snapshot_index > 0;
    cluster.eventually("a snapshot", written).await?;
    for id in RECORDED / 2..RECORDED {
        ledger.record(id, "").await?;
    }
    drop(node);
    let down = cluster.shut_down(TestNode(0)).await?;
    let to = own();
    fs::create_dir_all(&to)?;
    pack(&cluster.data_dir(down.node()), &to.join("node"))
}

#[test]
fn golden_data_directories_are_still_read() {
    braft::testing::run_test(1, "golden", |cluster: Cluster<Ledger>| async move {
        if std::env::var_os("BRAFT_BLESS").is_some() {
            bless().await?;
        }
        let mut versions = 0;
        for version in fs::read_dir(fixtures())? {
            let packed = version?.path().join("node");
            versions += 1;
            let down = cluster.shut_down(TestNode(0)).await?;
            let dir = cluster.data_dir(down.node());
            unpack(&packed, &dir)?;
            let replayed = braft::replay::<Ledger>(&dir).run()?;
            assert!(replayed.entries > 0, "{replayed}");
            cluster.restart(down).await?;
            let leader = cluster.leader();
            tokio::time::timeout(Duration::from_secs(30), leader).await??;
            let ledger = cluster.client();
            let ids: Vec<_> = (0..RECORDED).collect();
            assert_eq!(
                ledger.missing(&ids).await?,
                [0_u64; 0],
                "{}",
                packed.display()
            );
            assert_eq!(ledger.count().await?, RECORDED);
            assert_eq!(ledger.record(0, "").await?, 2);
        }
        assert!(versions > 0);
        Ok(())
    });
}
