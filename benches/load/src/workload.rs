//! What the clients do.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::target::{Read, Target};

/// A kind of operation under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Writes
    Put,
    /// Linearizable reads
    Get,
    /// Linearizable reads that rely on the leader's lease
    Lease,
    /// Reads from the asked node, which may be old
    Local,
    /// As many writes as linearizable reads
    Mixed,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Put => "put",
            Operation::Get => "get",
            Operation::Lease => "lease",
            Operation::Local => "local",
            Operation::Mixed => "mixed",
        })
    }
}

/// Operations on keys that are drawn at random, all equally often.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) operation: Operation,
    /// How many keys there are.
    pub(crate) keys: u64,
    pub(crate) value: String,
}

impl Workload {
    /// Carries out one operation; the same number is always the same operation.
    pub(crate) async fn carry_out<T: Target>(&self, target: &T, number: u64) -> Result<(), String> {
        let chance = scatter(number);
        let key = key(chance % self.keys);
        let read = match self.operation {
            Operation::Put => None,
            Operation::Get => Some(Read::Linearizable),
            Operation::Lease => Some(Read::Lease),
            Operation::Local => Some(Read::Local),
            // Another bit than those that chose the key.
            Operation::Mixed => (chance >> 63 == 0).then_some(Read::Linearizable),
        };
        let Some(read) = read else {
            return target.put(&key, &self.value).await;
        };
        // A store that answers nothing is quick: every key was written before.
        match target.get(&key, read).await? {
            Some(bytes) if bytes == self.value.len() => Ok(()),
            Some(bytes) => Err(format!("{key} has {bytes} bytes, not {}", self.value.len())),
            None => Err(format!("{key} is not there")),
        }
    }
}

/// The n-th key.
pub(crate) fn key(number: u64) -> String {
    format!("key-{number:08}")
}

/// Numbers in a row become numbers all over the place (the finalizer of SplitMix64).
fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Keeps what is put, and counts.
    #[derive(Clone, Default)]
    struct Store(Arc<Mutex<(BTreeMap<String, usize>, u64)>>);

    impl Target for Store {
        async fn put(&self, key: &str, value: &str) -> Result<(), String> {
            let mut store = self.0.lock().map_err(|error| error.to_string())?;
            store.0.insert(key.to_owned(), value.len());
            store.1 += 1;
            Ok(())
        }

        async fn get(&self, key: &str, _: Read) -> Result<Option<usize>, String> {
            let store = self.0.lock().map_err(|error| error.to_string())?;
            Ok(store.0.get(key).copied())
        }
    }

    fn workload(operation: Operation) -> Workload {
        Workload {
            operation,
            keys: 100,
            value: "v".repeat(16),
        }
    }

    #[tokio::test]
    async fn writes_reach_every_key() {
        let store = Store::default();
        for number in 0..2000 {
            let done = workload(Operation::Put).carry_out(&store, number).await;
            assert_eq!(done, Ok(()));
        }
        assert_eq!(store.0.lock().expect("no panic").0.len(), 100);
    }

    #[tokio::test]
    async fn half_of_a_mixed_load_is_writes() {
        let store = Store::default();
        for number in 0..100 {
            drop(store.put(&key(number), &"v".repeat(16)).await);
        }
        for number in 0..2000 {
            let done = workload(Operation::Mixed).carry_out(&store, number).await;
            assert_eq!(done, Ok(()));
        }
        let writes = store.0.lock().expect("no panic").1 - 100;
        assert!((900..1100).contains(&writes), "{writes}");
    }

    #[tokio::test]
    async fn a_read_that_finds_nothing_or_too_little_is_an_error() {
        let store = Store::default();
        let missing = workload(Operation::Get).carry_out(&store, 1).await;
        assert!(missing.is_err_and(|text| text.contains("not there")));
        for number in 0..100 {
            drop(store.put(&key(number), "v").await);
        }
        let short = workload(Operation::Get).carry_out(&store, 1).await;
        assert!(short.is_err_and(|text| text.contains("1 bytes")));
    }
}
