//! Two versions of one service in one cluster: upgraded node by node under load, rolled back before
//! the new one is active, and refused after that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use braft::testing::{Cluster, TestNode, TestResult, schema_lock};
use braft::{Config, ErrorKind, Outcome};

/// The service as it was.
mod v1 {
    use super::BTreeMap;
    use braft::raft_service;
    use serde::{Deserialize, Serialize};

    #[raft_service]
    #[derive(Default, Serialize, Deserialize)]
    pub struct Book {
        times: BTreeMap<u64, u32>,
    }

    #[raft_service]
    impl Book {
        pub fn record(&mut self, id: u64) -> u32 {
            let times = self.times.entry(id).or_default();
            *times += 1;
            *times
        }

        pub fn clear(&mut self) -> u64 {
            self.times.clear();
            0
        }

        pub fn times(&self) -> BTreeMap<u64, u32> {
            self.times.clone()
        }
    }
}

/// The same state with a field, a command and an argument more, and a command less.
mod v2 {
    use super::BTreeMap;
    use braft::{Context, raft_service};
    use serde::{Deserialize, Serialize};

    #[raft_service(version = 2)]
    #[derive(Default, Serialize, Deserialize)]
    pub struct Book {
        times: BTreeMap<u64, u32>,
        #[field(since = 2)]
        notes: BTreeMap<u64, String>,
    }

    #[raft_service]
    impl Book {
        #[command(name = "record")]
        pub fn note(
            &mut self,
            context: &mut Context,
            #[arg(name = "id")] number: u64,
            #[arg(since = 2)] note: Option<String>,
        ) -> u32 {
            if let Some(note) = note {
                self.notes.insert(number, note);
            }
            // The second version counts from ten, which no replica may do too early.
            let first = if context.version() < 2 { 0 } else { 10 };
            let times = self.times.entry(number).or_insert(first);
            *times += 1;
            *times
        }

        #[command(removed = 2)]
        pub fn clear(&mut self) -> u64 {
            self.times.clear();
            0
        }

        #[command(since = 2)]
        pub fn forget(&mut self, id: u64) -> bool {
            self.times.remove(&id).is_some()
        }

        pub fn times(&self) -> BTreeMap<u64, u32> {
            self.times.clone()
        }

        #[query(since = 2)]
        pub fn notes(&self) -> BTreeMap<u64, String> {
            self.notes.clone()
        }
    }
}

/// Another state, made of the last one.
mod v3 {
    use super::BTreeMap;
    use braft::raft_service;
    use serde::{Deserialize, Serialize};

    #[raft_service(version = 3, migrate = migrate)]
    #[derive(Default, Serialize, Deserialize)]
    pub struct Book {
        pages: Vec<(u64, u32)>,
    }

    fn migrate(old: super::v1::Book) -> Book {
        Book {
            pages: old.times().into_iter().collect(),
        }
    }

    #[raft_service]
    impl Book {
        pub fn record(&mut self, id: u64) -> u32 {
            let page = match self.pages.iter().position(|page| page.0 == id) {
                Some(at) => &mut self.pages[at],
                None => {
                    self.pages.push((id, 0));
                    self.pages.last_mut().expect("it was pushed")
                }
            };
            page.1 += 1;
            page.1
        }

        #[command(removed = 3)]
        pub fn clear(&mut self) -> u64 {
            self.pages.clear();
            0
        }

        pub fn times(&self) -> BTreeMap<u64, u32> {
            self.pages.iter().copied().collect()
        }

        #[query(since = 3)]
        pub fn last(&self) -> Option<u64> {
            self.pages.last().map(|page| page.0)
        }
    }
}

/// Clients that record numbers of their own, each once.
struct Writers {
    stop: Arc<AtomicBool>,
    recorded: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<Result<(), String>>>,
}

const WRITERS: u64 = 16;

impl Writers {
    /// Writes through clients of the first version.
    fn start(cluster: &Cluster<v1::Book>, first: u64) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let recorded = Arc::new(AtomicU64::new(first));
        let tasks = (0..WRITERS).map(|_| {
            let book = cluster.client();
            let (stop, recorded) = (stop.clone(), recorded.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let id = recorded.fetch_add(1, Ordering::Relaxed);
                    let times = book
                        .record(id)
                        .await
                        .map_err(|error| format!("{error:?}"))?;
                    if times != 1 && times != 11 {
                        return Err(format!("{id} was recorded {times} times"));
                    }
                }
                Ok(())
            })
        });
        Writers {
            tasks: tasks.collect(),
            stop,
            recorded,
        }
    }

    async fn progress(&self) {
        let target = self.recorded.load(Ordering::Relaxed) + 100;
        while self.recorded.load(Ordering::Relaxed) < target {
            assert!(
                !self.tasks.iter().any(|task| task.is_finished()),
                "a writer gave up"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Ends them; says how many numbers were recorded.
    async fn stop(self) -> TestResult<u64> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await??;
        }
        Ok(self.recorded.load(Ordering::Relaxed))
    }
}

async fn each_once(cluster: &Cluster<v1::Book>, recorded: u64) -> TestResult {
    let times = cluster.client().times().await?;
    assert_eq!(times.len() as u64, recorded, "a record was lost");
    assert!(
        times.values().all(|times| [1, 11].contains(times)),
        "one was doubled"
    );
    Ok(())
}

/// Snapshots often, so that nodes of both versions read those of the other.
fn config(config: Config) -> Config {
    config.snapshot_every(50).keep_log_entries(10)
}

async fn replace<T: braft::Service>(cluster: &Cluster<v1::Book>, node: usize) -> TestResult {
    let down = cluster.shut_down(TestNode(node)).await?;
    cluster.restart_as::<T>(down).await?;
    cluster.node(TestNode(node))?.ready().await;
    Ok(())
}

async fn active(cluster: &Cluster<v1::Book>, version: u32) -> TestResult {
    for node in 0..3 {
        cluster
            .active_version(TestNode(node), "Book", version)
            .await?;
    }
    Ok(())
}

#[test]
fn nodes_are_upgraded_one_by_one_under_load_rolled_back_and_upgraded_again() {
    braft::testing::run_test(1, "upgrade", |_: Cluster<v1::Book>| async {
        let cluster = Cluster::<v1::Book>::start_with(3, config).await?;
        cluster.all_vote().await?;
        let writers = Writers::start(&cluster, 0);
        writers.progress().await;
        // Two of three, and back: with the third one on the old version nothing is activated.
        for node in [0, 1] {
            replace::<v2::Book>(&cluster, node).await?;
            writers.progress().await;
        }
        let recorded = writers.stop().await?;
        each_once(&cluster, recorded).await?;
        cluster.converged().await?;
        let early = cluster.client_of::<v2::Book>();
        for refused in [
            early.forget(0).await.map(drop),
            early.note(1, Some("early".to_owned())).await.map(drop),
            early.notes().await.map(drop),
        ] {
            let error = refused.expect_err("not yet active");
            assert_eq!(error.kind(), ErrorKind::Rejected, "{error:?}");
            assert_eq!(error.outcome(), Outcome::NotApplied);
        }
        let writers = Writers::start(&cluster, recorded);
        for node in [0, 1] {
            replace::<v1::Book>(&cluster, node).await?;
            writers.progress().await;
        }
        for node in 0..3 {
            replace::<v2::Book>(&cluster, node).await?;
            writers.progress().await;
        }
        active(&cluster, 2).await?;
        writers.progress().await;
        let recorded = writers.stop().await?;
        each_once(&cluster, recorded).await?;
        cluster.converged().await?;

        let book = cluster.client_of::<v2::Book>();
        assert!(book.forget(0).await?);
        assert_eq!(book.note(0, Some("again".to_owned())).await?, 11);
        assert_eq!(book.notes().await?, [(0, "again".to_owned())].into());
        let removed = cluster.client().clear().await.expect_err("removed");
        assert!(
            removed.to_string().contains("removed with version 2"),
            "{removed}"
        );
        cluster.stop_all().await;
        cluster.start_all().await?;
        cluster.converged().await?;
        assert_eq!(cluster.client_of::<v2::Book>().notes().await?.len(), 1);
        cluster.stop_all().await;
        Ok(())
    });
}

#[test]
fn an_older_binary_reads_the_snapshot_of_a_newer_one_until_that_is_active() {
    braft::testing::run_test(1, "snapshot", |_: Cluster<v1::Book>| async {
        let cluster = Cluster::<v1::Book>::start_with(3, config).await?;
        cluster.all_vote().await?;
        for node in [0, 1] {
            replace::<v2::Book>(&cluster, node).await?;
        }
        let newer = TestNode(0);
        while cluster.leader().await? != newer {
            cluster.hand_over(newer).await?;
        }
        let leader = cluster.node(newer)?;
        let book = cluster.client();
        let mut recorded = 0;
        while leader.status().log.purged_index == 0 {
            book.record(recorded).await?;
            recorded += 1;
        }
        // The log does not reach back any more: an empty node needs the snapshot.
        let older = cluster.start_node_as::<v1::Book>().await?;
        cluster.converged().await?;
        assert!(cluster.node(older)?.status().log.snapshot_index > 0);
        each_once(&cluster, recorded).await?;
        cluster.active_version(older, "Book", 1).await?;
        cluster.stop_all().await;
        Ok(())
    });
}

#[test]
fn a_state_of_another_shape_is_made_of_the_old_one_when_all_nodes_can() {
    braft::testing::run_test(1, "migration", |_: Cluster<v1::Book>| async {
        let cluster = Cluster::<v1::Book>::start_with(3, config).await?;
        cluster.all_vote().await?;
        let writers = Writers::start(&cluster, 0);
        for node in 0..2 {
            writers.progress().await;
            replace::<v3::Book>(&cluster, node).await?;
        }
        writers.progress().await;
        let recorded = writers.stop().await?;
        // The new binaries serve, save and compare the old state.
        each_once(&cluster, recorded).await?;
        cluster.converged().await?;
        let writers = Writers::start(&cluster, recorded);
        replace::<v3::Book>(&cluster, 2).await?;
        active(&cluster, 3).await?;
        writers.progress().await;
        let recorded = writers.stop().await?;
        each_once(&cluster, recorded).await?;
        cluster.converged().await?;
        assert!(cluster.client_of::<v3::Book>().last().await?.is_some());
        // The snapshots and logs of before and after are still good.
        cluster.stop_all().await;
        cluster.start_all().await?;
        each_once(&cluster, recorded).await?;
        cluster.converged().await?;
        cluster.stop_all().await;
        Ok(())
    });
}

#[test]
fn a_binary_below_the_active_version_neither_starts_nor_joins_and_says_what_it_needs() {
    braft::testing::run_test(1, "refusal", |_: Cluster<v1::Book>| async {
        let cluster = Cluster::<v1::Book>::start_with(3, config).await?;
        cluster.all_vote().await?;
        for node in 0..3 {
            replace::<v2::Book>(&cluster, node).await?;
        }
        active(&cluster, 2).await?;
        cluster.client().record(1).await?;

        let node = TestNode(0);
        let down = cluster.shut_down(node).await?;
        let why = match cluster.restart_as::<v1::Book>(down).await {
            Ok(()) => cluster.why_stopped(node).await?,
            Err(error) => error.to_string(),
        };
        assert!(why.contains("service Book is at version 2"), "{why}");
        assert!(why.contains("start a binary with version 2"), "{why}");

        let joiner = cluster.start_node_as::<v1::Book>().await?;
        let joiner = cluster.node(joiner)?;
        let refused = || {
            joiner
                .status()
                .formation
                .contains("service Book is at version 2")
        };
        cluster.eventually("a refusal", refused).await?;
        assert_eq!(cluster.client().record(1).await?, 12);
        cluster.stop_all().await;
        Ok(())
    });
}

#[test]
fn the_schemas_are_those_committed_and_each_gets_along_with_the_one_before() {
    for checked in [
        schema_lock::<v1::Book>("cluster/schemas/book-1.schema"),
        schema_lock::<v2::Book>("cluster/schemas/book-2.schema"),
        schema_lock::<v3::Book>("cluster/schemas/book-3.schema"),
    ] {
        if let Err(error) = checked {
            panic!("{error}");
        }
    }
    if std::env::var_os("BRAFT_BLESS").is_some() {
        return;
    }
    // Each as the next release of the one before would see it.
    let outdated = schema_lock::<v2::Book>("cluster/schemas/book-1.schema");
    let text = outdated
        .expect_err("the lock is of the version before")
        .to_string();
    assert!(text.contains("every node gets along with that"), "{text}");
    let back = schema_lock::<v1::Book>("cluster/schemas/book-2.schema");
    let text = back
        .expect_err("the lock is of the version after")
        .to_string();
    assert!(text.contains("the version went back"), "{text}");
}
