//! A disk that fills up, on a small file system of its own.

use std::time::Duration;

use braft::testing::TestResult;
use braft::{ErrorKind, Outcome, raft_service};
use serde::{Deserialize, Serialize};

use crate::outsider::{PATIENCE, config, listener, until};
use crate::small_disk::{DISK_BYTES, MIB, SmallDisk};

pub(crate) const RESERVE_BYTES: u64 = 8 << 20;

/// The last of many large texts.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Page {
    text: String,
    writes: u64,
}

#[raft_service]
impl Page {
    pub(crate) fn write(&mut self, text: &str) -> u64 {
        text.clone_into(&mut self.text);
        self.writes += 1;
        self.writes
    }

    pub(crate) fn writes(&self) -> u64 {
        self.writes
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
