//! A disk that fills up, on a small file system of its own.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use braft::testing::TestResult;
use braft::{ErrorKind, Outcome, raft_service};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::outsider::{PATIENCE, config, listener, until};

const MIB: usize = 1 << 20;
const DISK_BYTES: usize = 32 * MIB;
const RESERVE_BYTES: u64 = 8 << 20;

/// The last of many large texts.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Page {
    text: String,
    writes: u64,
}

#[raft_service]
impl Page {
    fn write(&mut self, text: &str) -> u64 {
        text.clone_into(&mut self.text);
        self.writes += 1;
        self.writes
    }

    fn writes(&self) -> u64 {
        self.writes
    }
}

/// A file system in memory, unmounted when this is dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` where mounting is not allowed.
    fn mount() -> TestResult<Option<Self>> {
        let directory = tempfile::tempdir()?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={DISK_BYTES}"), "tmpfs"])
            .arg(directory.path())
            .output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        Ok(mounted.then_some(SmallDisk(directory)))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes space until `bytes` cannot be had any more.
    fn fill(&self, leave: usize) -> TestResult {
        let ballast = self.path().join("ballast");
        let spare = self.path().join("spare");
        std::fs::write(&spare, vec![1; leave])?;
        let mut file = File::create(ballast)?;
        let piece = vec![1; 64 << 10];
        while file.write_all(&piece).is_ok() {}
        drop(file);
        Ok(std::fs::remove_file(spare)?)
    }

    fn free(&self) -> TestResult {
        Ok(std::fs::remove_file(self.path().join("ballast"))?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a thread of a node that has just stopped may still hold a file.
        drop(Command::new("umount").arg("-l").arg(self.path()).status());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_makes_the_node_busy_and_nothing_is_lost() {
    let run = async || -> TestResult {
        let Some(disk) = SmallDisk::mount()? else {
            println!("skipped: this user may not mount a small file system");
            return Ok(());
        };
        let start = || async {
            let listener = listener();
            let own = listener.local_addr()?.to_string();
            let config = config(&disk.path().join("node"), listener, &[own])
                .service::<Page>()
                .snapshot_every(20)
                .keep_log_entries(5)
                .disk_reserve_bytes(RESERVE_BYTES);
            TestResult::Ok(braft::start(config).await?)
        };
        let node = start().await?;
        let page = node.client::<Page>();
        let text = "t".repeat(100 << 10);
        // Twice the disk: snapshots and purges make room as it goes.
        let mut writes = 0;
        while writes as usize * text.len() < 2 * DISK_BYTES {
            writes += 1;
            assert_eq!(page.write(&text).deadline(PATIENCE).await?, writes);
        }
        // First below the reserve, then not a byte left.
        for leave in [4 * MIB, 0] {
            disk.fill(leave)?;
            let refused = loop {
                match page.write("more").deadline(Duration::from_secs(1)).await {
                    Ok(_) => writes += 1,
                    Err(error) => break error,
                }
            };
            let status = node.status();
            assert_eq!(
                refused.kind(),
                ErrorKind::Busy,
                "{leave} bytes left: {refused:?}; the node is {}, {:?}",
                status.role,
                status.error
            );
            assert_eq!(refused.outcome(), Outcome::NotApplied, "{refused:?}");
            assert!(refused.to_string().contains("disk"), "{refused:?}");
            assert_eq!(page.writes().await?, writes);
            disk.free()?;
            until("writes to go on", || async {
                let written = page.write("again").deadline(Duration::from_secs(1)).await;
                written.is_ok()
            })
            .await?;
            writes += 1;
            assert_eq!(page.writes().await?, writes);
        }
        node.shutdown(PATIENCE).await;
        let node = start().await?;
        assert_eq!(
            node.client::<Page>().writes().deadline(PATIENCE).await?,
            writes
        );
        node.shutdown(PATIENCE).await;
        Ok(())
    };
    run().await.unwrap_or_else(|error| panic!("{error}"));
}
