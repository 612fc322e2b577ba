//! A cluster with a nemesis that a test plays by hand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Disks, Lookout, Nemesis};
use crate::config::Seams;
use crate::raft_service;
use crate::storage::fs::faults::FaultFs;
use crate::testing::TestResult;
use crate::testing::check::record::Record;
use crate::testing::cluster::{Cluster, TestNode};
use crate::testing::simulation::simulate;

/// Small, so that a node needs another segment soon.
const SEGMENT_BYTES: u64 = 64 << 10;
/// So that a node that was cut off for a while needs a snapshot.
const KEEP_LOG_ENTRIES: u64 = 4;
const NODES: usize = 3;

#[raft_service(crate = crate)]
#[derive(Default, Serialize, Deserialize)]
pub(in super::super) struct Pages {
    written: u64,
}

#[raft_service(crate = crate)]
impl Pages {
    pub(in super::super) fn write(&mut self, text: String) -> u64 {
        self.written += text.len() as u64;
        self.written
    }

    pub(in super::super) fn written(&self) -> u64 {
        self.written
    }
}

/// Three nodes that serve.
pub(in super::super) struct Stage {
    pub(in super::super) cluster: Cluster<Pages>,
    pub(super) nemesis: Nemesis<Pages>,
}

impl Stage {
    /// Writes pages until something has happened.
    pub(super) async fn write_until<T>(&self, happened: impl Future<Output = T>) -> T {
        let client = self.cluster.client();
        let writing = tokio::spawn(async move {
            loop {
                drop(client.write("page ".repeat(1_000)).await);
            }
        });
        let result = happened.await;
        writing.abort();
        result
    }
}

/// Plays a test on a simulated cluster.
pub(in super::super) fn play(seed: u64, test: impl AsyncFnOnce(Stage) -> TestResult) {
    let played = simulate(seed, |network| async {
        let of_nodes = Mutex::<BTreeMap<TestNode, FaultFs>>::default();
        let disks: Disks = Arc::new(move |node| {
            let mut disks = of_nodes.lock().unwrap_or_else(PoisonError::into_inner);
            disks.entry(node).or_default().clone()
        });
        let own = Arc::clone(&disks);
        let configure = move |node, seams: Seams, config: crate::Config| {
            config.keep_log_entries(KEEP_LOG_ENTRIES).seams(Seams {
                fs: Arc::new(own(node).of_this_life()),
                segment_bytes: Some(SEGMENT_BYTES),
                ..seams
            })
        };
        let configure = Box::new(configure);
        let cluster = Cluster::boot_seamed(NODES, Some(network), None, configure).await?;
        cluster.leader().await?;
        let (record, now) = (Record::new("Pages"), Instant::now());
        let lookout = Lookout::new(cluster.clone(), Arc::clone(&record));
        let nemesis = Nemesis::new(cluster.clone(), record, lookout, disks, seed, now);
        let stage = Stage {
            cluster: cluster.clone(),
            nemesis,
        };
        test(stage).await?;
        cluster.stop_all().await;
        Ok(())
    });
    played.unwrap_or_else(|error| panic!("{error}"));
}
