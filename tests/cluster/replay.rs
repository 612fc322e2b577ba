//! A node's data run through a binary before it is deployed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use braft::testing::{Cluster, Down, TestNode, TestResult};
use braft::{Config, replay};

mod now {
    use braft::raft_service;
    use serde::{Deserialize, Serialize};

    #[raft_service]
    #[derive(Default, Serialize, Deserialize)]
    pub struct Tally {
        sum: u64,
    }

    #[raft_service]
    impl Tally {
        pub fn add(&mut self, by: u64) -> u64 {
            self.sum += by;
            self.sum
        }
    }
}

/// Counts otherwise.
mod other {
    use braft::raft_service;
    use serde::{Deserialize, Serialize};

    #[raft_service]
    #[derive(Default, Serialize, Deserialize)]
    pub struct Tally {
        sum: u64,
    }

    #[raft_service]
    impl Tally {
        pub fn add(&mut self, by: u64) -> u64 {
            self.sum += by + u64::from(by == 7);
            self.sum
        }
    }
}

/// Has lost the command.
mod fewer {
    use braft::raft_service;
    use serde::{Deserialize, Serialize};

    #[raft_service]
    #[derive(Default, Serialize, Deserialize)]
    pub struct Tally {
        sum: u64,
    }

    #[raft_service]
    impl Tally {
        pub fn set(&mut self, to: u64) {
            self.sum = to;
        }
    }
}

fn config(config: Config) -> Config {
    config.snapshot_every(30)
}

fn copy(from: &Path, to: &Path) -> TestResult {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// All files below a directory with their content.
fn content(dir: &Path) -> TestResult<BTreeMap<PathBuf, Vec<u8>>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(content(&path)?);
        } else {
            all.insert(path.clone(), fs::read(path)?);
        }
    }
    Ok(all)
}

/// Adds until there is a further snapshot, and stops the node.
async fn add(cluster: &Cluster<now::Tally>) -> TestResult<Down> {
    let tally = cluster.client();
    let node = cluster.node(TestNode(0))?;
    let before = node.status().log.snapshot_index;
    while node.status().log.snapshot_index == before {
        for by in 0..10 {
            tally.add(by).await?;
        }
    }
    // Some entries behind it, fewer than bring the next one.
    for by in 0..15 {
        tally.add(by).await?;
    }
    cluster.shut_down(TestNode(0)).await
}

#[test]
fn a_log_is_carried_out_again_and_compared_with_the_snapshot_without_a_write() {
    braft::testing::run_test(1, "replay", |_: Cluster<now::Tally>| async {
        let cluster = Cluster::<now::Tally>::start_with(1, config).await?;
        let running = replay::<now::Tally>(cluster.data_dir(TestNode(0))).run();
        let text = running.expect_err("it is in use").to_string();
        assert!(text.contains("in use"), "{text}");
        let down = add(&cluster).await?;
        let dir = cluster.data_dir(down.node());
        let before = content(&dir)?;

        let replayed = replay::<now::Tally>(&dir).run()?;
        assert!(replayed.is_same(), "{replayed}");
        assert_eq!(replayed.from, 0);
        assert!(
            replayed.to > replayed.compared_at.unwrap_or(u64::MAX),
            "{replayed}"
        );
        assert!(
            replayed.answers > 0 && replayed.operations > 30,
            "{replayed}"
        );

        let replayed = replay::<other::Tally>(&dir).run()?;
        assert!(!replayed.is_same());
        let text = replayed.to_string();
        assert!(text.contains("the state of service Tally"), "{text}");
        assert!(text.contains("the answer to command"), "{text}");

        let failed = replay::<fewer::Tally>(&dir)
            .run()
            .expect_err("a command is unknown");
        let text = failed.to_string();
        assert!(text.contains("log entry") && text.contains("add"), "{text}");

        assert_eq!(content(&dir)?, before, "something was written");
        Ok(())
    });
}

#[test]
fn an_earlier_copy_gives_something_to_compare_where_the_log_was_cut() {
    braft::testing::run_test(1, "since", |_: Cluster<now::Tally>| async {
        let short = |config: Config| config.snapshot_every(30).keep_log_entries(25);
        let cluster = Cluster::<now::Tally>::start_with(1, short).await?;
        let down = add(&cluster).await?;
        let dir = cluster.data_dir(down.node());
        let earlier = tempfile::tempdir()?;
        copy(&dir, earlier.path())?;
        cluster.restart(down).await?;
        cluster.leader().await?;
        let _ = add(&cluster).await?;

        let alone = replay::<now::Tally>(&dir).run()?;
        assert_eq!(alone.compared_at, None, "{alone}");
        let replayed = replay::<now::Tally>(&dir).since(earlier.path()).run()?;
        assert!(replayed.from > 0 && replayed.is_same(), "{replayed}");
        let replayed = replay::<other::Tally>(&dir).since(earlier.path()).run()?;
        assert!(!replayed.is_same(), "{replayed}");
        Ok(())
    });
}
