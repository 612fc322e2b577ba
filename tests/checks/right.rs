//! Three services of different shape that pass.

use std::collections::{BTreeMap, VecDeque};

use braft::testing::{CheckFailure, check};
use braft::{Context, raft_service};
use serde::{Deserialize, Serialize};
use tests::Counter;

/// What is in stock, with the time of the last change.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Inventory {
    pieces: BTreeMap<String, u64>,
    changed_ms: u128,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct OutOfStock {
    pub left: u64,
}

#[raft_service]
impl Inventory {
    pub fn add(&mut self, context: &mut Context, article: String, pieces: u32) -> u64 {
        let since = context.now().duration_since(std::time::UNIX_EPOCH);
        self.changed_ms = since.unwrap_or_default().as_millis();
        let stock = self.pieces.entry(article).or_default();
        *stock = stock.saturating_add(u64::from(pieces));
        *stock
    }

    pub fn take(&mut self, article: &str, pieces: u32) -> Result<u64, OutOfStock> {
        let stock = self.pieces.get_mut(article).ok_or(OutOfStock { left: 0 })?;
        let left = *stock;
        *stock = left
            .checked_sub(u64::from(pieces))
            .ok_or(OutOfStock { left })?;
        Ok(*stock)
    }

    pub fn all(&self) -> BTreeMap<String, u64> {
        self.pieces.clone()
    }
}

/// A queue whose items are handed out under a lease.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Queue {
    waiting: VecDeque<Job>,
    taken: BTreeMap<u64, Job>,
    next: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Job {
    Mail {
        to: Vec<String>,
        urgent: Option<bool>,
    },
    Report(i64),
    Sweep,
}

#[raft_service]
impl Queue {
    pub fn put(&mut self, job: Job) -> usize {
        self.waiting.push_back(job);
        self.waiting.len()
    }

    pub fn take(&mut self) -> Option<(u64, Job)> {
        let job = self.waiting.pop_front()?;
        self.next += 1;
        self.taken.insert(self.next, job.clone());
        Some((self.next, job))
    }

    pub fn done(&mut self, ticket: u64) -> bool {
        self.taken.remove(&ticket).is_some()
    }

    pub fn lengths(&self) -> (usize, usize) {
        (self.waiting.len(), self.taken.len())
    }
}

fn passes(checked: Result<(), CheckFailure>) {
    if let Err(error) = checked {
        panic!("{error}");
    }
}

#[test]
fn a_counter_passes() {
    passes(check::<Counter>().seeds(20).without_cluster());
}

#[test]
fn a_map_passes() {
    passes(check::<Inventory>().seeds(20).without_cluster());
}

#[test]
fn a_queue_passes() {
    passes(check::<Queue>().seeds(20).without_cluster());
}

/// A counter whose first version could be asked and emptied.
#[raft_service(version = 2)]
#[derive(Default, Serialize, Deserialize)]
pub struct Bare {
    count: u64,
}

#[raft_service]
impl Bare {
    pub fn count(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    #[command(removed = 2)]
    pub fn empty(&mut self) {
        panic!("no node of this version carries it out");
    }

    #[query(removed = 2)]
    pub fn counted(&self) -> u64 {
        panic!("no node of this version answers it");
    }
}

#[test]
fn what_was_removed_is_not_called() {
    passes(check::<Bare>().seeds(20).without_cluster());
}
