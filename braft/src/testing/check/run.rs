//! One seed: a cluster under faults, its clients, and the verdict.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::invent::InventError;
use super::nemesis::{Nemesis, torment};
use super::record::Record;
use super::story::Story;
use super::verdict::{Evidence, Final, Violation, judge};
use super::workload::Workload;
use crate::config::Seams;
use crate::context::Rng;
use crate::machine::Watch;
use crate::service::Service;
use crate::storage::fs::faults::FaultFs;
use crate::testing::cluster::{Cluster, TestNode};
use crate::testing::simulation::{Network, simulate};
use crate::testing::{TestError, TestResult};

/// Stream of random numbers that the faults draw from; clients have the lower ones.
const FAULTS: u32 = u32::MAX;
/// Threads of the nodes and clients.
const WORKER_THREADS: usize = 2;
/// Small, so that nodes come to need a snapshot of another one.
const KEEP_LOG_ENTRIES: u64 = 16;
/// Log entries after which a snapshot is written.
const SNAPSHOT_EVERY: u64 = 64;

/// How much happens in a check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) nodes: usize,
    pub(super) clients: usize,
    pub(super) calls: usize,
    pub(super) faults: usize,
}

/// Runs one seed on a runtime of its own, whatever runtime the test has.
pub(super) async fn play<S: Service>(seed: u64, size: Size) -> TestResult<Option<Story>> {
    let (done, result) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name(format!("check-{}-{seed}", S::NAME))
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(WORKER_THREADS)
                .enable_all()
                .build();
            let result = match runtime {
                Ok(runtime) => runtime.block_on(run::<S>(seed, size, None)),
                Err(error) => Err(error.into()),
            };
            drop(done.send(result));
        })?;
    match result.await {
        Ok(result) => result,
        Err(_) => Err(TestError::of_text(format!(
            "the check of {} panicked with seed {seed}; see above",
            S::NAME
        ))),
    }
}

/// Runs one seed in a simulation, on a thread of its own.
pub(super) async fn simulated<S: Service>(seed: u64, size: Size) -> TestResult<Option<Story>> {
    let (done, result) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name(format!("check-{}-{seed}", S::NAME))
        .spawn(move || {
            let result = simulate(seed, |network| run::<S>(seed, size, Some(network)));
            drop(done.send(result));
        })?;
    match result.await {
        Ok(result) => result,
        Err(_) => Err(TestError::of_text(format!(
            "the check of {} panicked with seed {seed}; see above",
            S::NAME
        ))),
    }
}

/// The disks of the nodes: in memory, so that they can lose what was not synced.
#[derive(Clone, Default)]
struct Disks(Arc<Mutex<BTreeMap<TestNode, FaultFs>>>);

impl Disks {
    fn of(&self, node: TestNode) -> FaultFs {
        let mut disks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        disks.entry(node).or_default().clone()
    }
}

async fn run<S: Service>(
    seed: u64,
    size: Size,
    network: Option<Network>,
) -> TestResult<Option<Story>> {
    let record = Record::new(S::NAME);
    let disks = Disks::default();
    let (watched, own) = (Arc::clone(&record), disks.clone());
    let cluster = Cluster::<S>::start_seamed(
        size.nodes,
        network,
        Box::new(move |node, seams, config| {
            config
                .snapshot_every(SNAPSHOT_EVERY)
                .keep_log_entries(KEEP_LOG_ENTRIES)
                .seams(Seams {
                    fs: Arc::new(own.of(node)),
                    watch: Watch::by(watched.witness(node.0)),
                    ..seams
                })
        }),
    )
    .await?;
    let workload = Workload::new(size.calls);
    let over = Arc::new(AtomicBool::new(false));
    let disk_of = Arc::new(move |node| disks.of(node));
    let rng = Rng::new(seed, FAULTS);
    let nemesis = Nemesis::new(cluster.clone(), disk_of, rng, workload.start);
    let (making, differing, ended) = (Arc::clone(&workload), Arc::clone(&record), over.clone());
    let tormenting = tokio::spawn(async move {
        let every = (size.calls / (size.faults + 1)).max(1);
        let progress = || making.history.len();
        let until = || {
            if differing.differs() {
                making.stop();
            }
            ended.load(Ordering::Relaxed)
        };
        let tormented = torment(nemesis, progress, every, until).await;
        making.stop();
        tormented
    });
    let dialers: Vec<_> = (0..size.clients)
        .map(|client| cluster.dialer(&format!("client-{client}")))
        .collect();
    let addresses: Vec<_> = (0..size.nodes)
        .map(|node| cluster.address(TestNode(node)))
        .collect();
    let called = workload.run::<S>(seed, &dialers, &addresses).await;
    over.store(true, Ordering::Relaxed);
    let (events, tormented) = tormenting.await?;
    let settled = match &tormented {
        Ok(()) if !record.differs() => cluster.converged().await,
        _ => Ok(()),
    };
    let finals = finals(&cluster);
    cluster.stop_all().await;
    called.map_err(|error: InventError| TestError::of_text(error.to_string()))?;

    let (log, difference) = record.read();
    let evidence = Evidence {
        operations: workload.history.take(),
        log,
        difference,
        finals,
    };
    let failed = |result: TestResult| result.err().map(|error| error.to_string());
    let judged =
        judge::<S>(&evidence).and_then(|()| match failed(tormented).or_else(|| failed(settled)) {
            Some(text) => Err(Violation {
                text,
                operations: Vec::new(),
                index: None,
            }),
            None => Ok(()),
        });
    Ok(judged
        .err()
        .map(|violation| Story::new::<S>(seed, evidence, events, violation)))
}

fn finals<S: Service>(cluster: &Cluster<S>) -> Vec<Final> {
    let saved = cluster.running().into_iter().filter_map(|(place, node)| {
        let (index, state) = node.core().raft()?.machine().saved(S::NAME).ok()?;
        Some(Final {
            node: place.0,
            index,
            state,
        })
    });
    saved.collect()
}
