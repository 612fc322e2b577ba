//! The check on a cluster under faults: services that are right pass, broken ones are caught.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use braft::raft_service;
use braft::testing::{Check, check};
use serde::{Deserialize, Serialize};
use tests::Counter;

use crate::broken::Unsaved;
use crate::right::{Inventory, Queue};

/// Seeds of one test. More: `CHECK_SEEDS=100 cargo test -p tests --test checks cluster`.
fn seeds() -> u64 {
    let seeds = std::env::var("CHECK_SEEDS").ok();
    seeds.and_then(|text| text.parse().ok()).unwrap_or(3)
}

async fn passes<S: braft::Service>(checked: Check<S>) {
    if let Err(error) = checked.seeds(seeds()).run().await {
        panic!("{error}");
    }
}

#[tokio::test]
async fn a_counter_passes() {
    passes(check::<Counter>()).await;
}

#[tokio::test]
async fn a_map_passes() {
    passes(check::<Inventory>()).await;
}

#[tokio::test]
async fn a_queue_passes_on_five_nodes() {
    passes(check::<Queue>().nodes(5).clients(4).steps(300)).await;
}

/// Calls of this process: something that no replica shares with another process.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// A counter that counts its calls outside of its state.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Restless {
    value: u64,
}

#[raft_service]
impl Restless {
    pub fn add(&mut self, by: u8) -> u64 {
        self.value += u64::from(by) + CALLS.fetch_add(1, Ordering::Relaxed);
        self.value
    }
}

/// A map that answers in whatever order its hash table has.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Shuffled {
    entries: Table,
}

/// Hidden from the check of the fields.
#[derive(Default, Serialize, Deserialize)]
pub struct Table(HashMap<u8, u8>);

#[raft_service]
impl Shuffled {
    pub fn insert(&mut self, key: u8, value: u8) {
        self.entries.0.insert(key, value);
    }

    pub fn keys(&self) -> Vec<u8> {
        self.entries.0.keys().copied().collect()
    }
}

/// A lock whose count of holders is not saved with it.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Lock {
    holder: Option<u8>,
    taken: Unsaved,
}

#[raft_service]
impl Lock {
    pub fn acquire(&mut self, who: u8) -> Option<u64> {
        if self.holder.is_some() {
            return None;
        }
        self.holder = Some(who);
        self.taken.0 += 1;
        Some(self.taken.0)
    }

    pub fn release(&mut self, who: u8) -> bool {
        let held = self.holder == Some(who);
        if held {
            self.holder = None;
        }
        held
    }
}

/// The text of the failure, which has to be one that a person can follow.
async fn failure<S: braft::Service>(checked: Check<S>) -> String {
    let text = match checked.run().await {
        Ok(()) => panic!("the broken service passed"),
        Err(error) => error.to_string(),
    };
    assert!(text.contains("BRAFT_CHECK_SEED="), "{text}");
    let picture = text.lines().find_map(|line| line.strip_prefix("picture: "));
    let picture = picture.unwrap_or_else(|| panic!("no picture: {text}"));
    let page = std::fs::read_to_string(picture).expect("the picture is there");
    assert!(page.contains("<svg") && page.contains(S::NAME), "{page}");
    text
}

#[tokio::test]
async fn a_counter_that_depends_on_the_process_is_caught() {
    let text = failure(check::<Restless>()).await;
    assert!(text.contains("answered"), "{text}");
    assert!(text.contains("{\"add\":{\"by\":"), "{text}");
}

#[tokio::test]
async fn a_map_in_random_order_is_caught() {
    let text = failure(check::<Shuffled>()).await;
    assert!(text.contains("\"keys\""), "{text}");
}

#[tokio::test]
async fn a_lock_that_is_not_saved_whole_is_caught() {
    let text = failure(check::<Lock>()).await;
    assert!(text.contains("\"acquire\""), "{text}");
}

#[tokio::test]
async fn a_map_passes_on_sockets() {
    if let Err(error) = check::<Inventory>().seeds(1).run_on_sockets().await {
        panic!("{error}");
    }
}

#[tokio::test]
async fn what_is_broken_is_caught_on_sockets_too() {
    let checked = check::<Restless>().seeds(1).run_on_sockets().await;
    let text = checked.err().map(|error| error.to_string());
    assert!(text.is_some_and(|text| text.contains("answered")));
}
