//! A disk that fills up under one of three nodes.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use braft::testing::TestResult;
use braft::{Client, Error, ErrorKind, Node, Outcome};

use crate::full_disk::{Page, PageClient, RESERVE_BYTES};
use crate::outsider::{PATIENCE, config, fate, until};
use crate::small_disk::{MIB, SmallDisk};

const TEXT_BYTES: usize = 100 << 10;

/// Three nodes, each on a small disk of its own.
struct Trio {
    disks: Vec<SmallDisk>,
    addresses: Vec<SocketAddr>,
    nodes: Vec<Option<Node>>,
    snapshot_every: u64,
}

impl Trio {
    /// `None` where small disks cannot be had.
    async fn start(snapshot_every: u64) -> TestResult<Option<Self>> {
        let mut trio = Trio {
            disks: Vec::new(),
            addresses: Vec::new(),
            nodes: vec![None, None, None],
            snapshot_every,
        };
        let mut listeners = Vec::new();
        for _ in 0..3 {
            let Some(disk) = SmallDisk::mount()? else {
                println!("skipped: this user may not mount a small file system");
                return Ok(None);
            };
            trio.disks.push(disk);
            let listener = crate::outsider::listener();
            trio.addresses.push(listener.local_addr()?);
            listeners.push(listener);
        }
        for (place, listener) in listeners.into_iter().enumerate() {
            trio.boot(place, listener).await?;
        }
        Ok(Some(trio))
    }

    async fn boot(&mut self, place: usize, listener: TcpListener) -> TestResult {
        let all: Vec<_> = self.addresses.iter().map(ToString::to_string).collect();
        let data_dir = self.disks[place].path().join("node");
        let config = config(&data_dir, listener, &all)
            .service::<Page>()
            .snapshot_every(self.snapshot_every)
            .keep_log_entries(5)
            .disk_reserve_bytes(RESERVE_BYTES);
        self.nodes[place] = Some(braft::start(config).await?);
        Ok(())
    }

    async fn restart(&mut self, place: usize) -> TestResult {
        let listener = TcpListener::bind(self.addresses[place])?;
        self.boot(place, listener).await
    }

    async fn shut_down(&mut self, place: usize) {
        if let Some(node) = self.nodes[place].take() {
            node.shutdown(PATIENCE).await;
        }
    }

    fn node(&self, place: usize) -> &Node {
        self.nodes[place].as_ref().expect("the node is up")
    }

    /// The nodes that are up.
    fn up(&self) -> impl Iterator<Item = (usize, &Node)> {
        let all = self.nodes.iter().enumerate();
        all.filter_map(|(place, node)| Some((place, node.as_ref()?)))
    }

    async fn client(&self) -> TestResult<PageClient> {
        let all: Vec<_> = self.addresses.iter().map(ToString::to_string).collect();
        Ok(PageClient::connect(all).await?)
    }

    async fn leader(&self) -> TestResult<usize> {
        let mut leader = None;
        until("a leader", || {
            let mut up = self.up();
            leader = up.find_map(|(place, node)| (node.status().role == "leader").then_some(place));
            std::future::ready(leader.is_some())
        })
        .await?;
        Ok(leader.ok_or("no leader")?)
    }

    /// Waits until every node that is up has carried out this many writes.
    async fn all_have(&self, writes: u64) -> TestResult {
        for (_, node) in self.up() {
            let page = node.client::<Page>();
            until("a node to have all writes", || async {
                page.writes().local().await.is_ok_and(|seen| seen == writes)
            })
            .await?;
        }
        Ok(())
    }

    async fn stop(mut self) {
        for place in 0..3 {
            self.shut_down(place).await;
        }
    }
}

fn run(test: impl Future<Output = TestResult>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime
        .block_on(test)
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Writes until the leader refuses; says why.
async fn write_until_refused(page: &PageClient, writes: &mut u64) -> Error {
    loop {
        match page.write("more").deadline(Duration::from_secs(1)).await {
            Ok(_) => *writes += 1,
            Err(error) => return error,
        }
    }
}

#[test]
fn a_leader_whose_disk_fills_up_is_busy_makes_room_and_can_be_replaced() {
    run(async {
        // So seldom that only the lack of space brings a snapshot about.
        let Some(mut trio) = Trio::start(100_000).await? else {
            return Ok(());
        };
        let page = trio.client().await?;
        let text = "t".repeat(TEXT_BYTES);
        let mut writes = 0;
        for _ in 0..40 {
            writes += 1;
            assert_eq!(page.write(&text).deadline(PATIENCE).await?, writes);
        }
        let full = trio.leader().await?;
        assert_eq!(trio.node(full).status().log.snapshot_index, 0);
        // Below the reserve, even with the room that the log gives back.
        trio.disks[full].fill(3 * MIB)?;
        let refused = write_until_refused(&page, &mut writes).await;
        assert_eq!(refused.kind(), ErrorKind::Busy, "{refused:?}");
        assert_eq!(refused.outcome(), Outcome::NotApplied, "{refused:?}");
        assert!(refused.to_string().contains("disk"), "{refused:?}");
        until("the log to be replaced by a snapshot", || async {
            let log = trio.node(full).status().log;
            log.snapshot_index > 0 && log.purged_index > 0
        })
        .await?;
        // Reads work through every node, and nothing is missing.
        for (_, node) in trio.up() {
            let seen = node.client::<Page>().writes().deadline(PATIENCE).await?;
            assert_eq!(seen, writes);
        }
        assert_eq!(
            trio.leader().await?,
            full,
            "a full disk is no reason to step down"
        );

        // The others have room: without the full one they take writes.
        trio.shut_down(full).await;
        for _ in 0..10 {
            writes += 1;
            assert_eq!(page.write(&text).deadline(PATIENCE).await?, writes);
        }
        trio.disks[full].free()?;
        trio.restart(full).await?;
        trio.all_have(writes).await?;
        trio.stop().await;
        Ok(())
    });
}

#[test]
fn a_follower_whose_disk_is_full_stops_and_the_others_keep_working() {
    run(async {
        let Some(mut trio) = Trio::start(20).await? else {
            return Ok(());
        };
        let page = trio.client().await?;
        let text = "t".repeat(TEXT_BYTES);
        let mut writes = 1;
        assert_eq!(page.write(&text).deadline(PATIENCE).await?, writes);
        let full = (trio.leader().await? + 1) % 3;
        trio.disks[full].fill(0)?;
        while trio.node(full).status().error.is_none() {
            writes += 1;
            assert_eq!(page.write(&text).deadline(PATIENCE).await?, writes);
        }
        let why = fate(trio.node(full)).await?;
        assert!(why.contains("No space left on device"), "{why}");
        for _ in 0..10 {
            writes += 1;
            assert_eq!(page.write(&text).deadline(PATIENCE).await?, writes);
        }
        trio.shut_down(full).await;
        trio.disks[full].free()?;
        trio.restart(full).await?;
        trio.all_have(writes).await?;
        trio.stop().await;
        Ok(())
    });
}
