//! A service that tells lost and doubled writes.

use std::collections::BTreeMap;

use braft::raft_service;
use serde::{Deserialize, Serialize};

/// Which ids were recorded, and how often.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Ledger {
    times: BTreeMap<u64, u32>,
    /// What the last write carried: bytes on their way through log and network, kept once.
    ballast: String,
}

#[raft_service]
impl Ledger {
    /// Records an id; says how often it has been recorded by now.
    pub fn record(&mut self, id: u64, ballast: &str) -> u32 {
        ballast.clone_into(&mut self.ballast);
        let times = self.times.entry(id).or_default();
        *times += 1;
        *times
    }

    /// Those of `ids` that were never recorded.
    pub fn missing(&self, ids: &[u64]) -> Vec<u64> {
        let missing = ids.iter().filter(|id| !self.times.contains_key(id));
        missing.copied().collect()
    }

    /// All ids that were recorded more than once.
    pub fn doubled(&self) -> Vec<u64> {
        let doubled = self.times.iter().filter(|(_, times)| **times > 1);
        doubled.map(|(id, _)| *id).collect()
    }

    /// How many ids were recorded.
    pub fn count(&self) -> u64 {
        self.times.len() as u64
    }
}
