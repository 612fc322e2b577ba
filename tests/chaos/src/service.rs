//! What the nodes serve: registers that tell what was there before, and how often each write was
//! carried out.

use std::hash::{DefaultHasher, Hash, Hasher};

use braft::collections::Map;
use braft::{Context, raft_service};
use serde::{Deserialize, Serialize};

/// Registers by number. Each write has an id that no other one has.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Registers {
    values: Map<u32, Value>,
    /// How often the write of each id was carried out.
    times: Map<u64, u32>,
    /// Ids that were carried out more than once.
    doubled: Map<u64, u32>,
}

/// What a register holds. The default was never written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Value {
    /// Counts the writes of this register.
    pub version: u64,
    /// The write that it comes from; 0 for none.
    pub id: u64,
}

/// A register was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Which one.
    pub key: u32,
    /// What it holds now.
    pub value: Value,
}

#[raft_service]
impl Registers {
    /// Writes a register; says what was there before.
    pub fn swap(&mut self, context: &mut Context<Written>, key: u32, id: u64) -> Value {
        self.count(id);
        self.write(context, key, id)
    }

    /// Writes a register if it holds what the write `expected` left there; says what was there.
    pub fn replace(
        &mut self,
        context: &mut Context<Written>,
        key: u32,
        expected: u64,
        id: u64,
    ) -> Value {
        self.count(id);
        let before = self.values.get(&key).copied().unwrap_or_default();
        if before.id == expected {
            self.write(context, key, id);
        }
        before
    }

    /// What a register holds.
    pub fn get(&self, key: u32) -> Value {
        self.values.get(&key).copied().unwrap_or_default()
    }

    /// Those of `ids` whose write was never carried out.
    pub fn missing(&self, ids: &[u64]) -> Vec<u64> {
        let missing = ids.iter().filter(|id| !self.times.contains_key(*id));
        missing.copied().collect()
    }

    /// The ids of all writes that were carried out more than once.
    pub fn doubled(&self) -> Vec<u64> {
        self.doubled.keys().copied().collect()
    }

    /// How many writes were carried out, and a hash of the whole state.
    pub fn fingerprint(&self) -> (u64, u64) {
        let mut hasher = DefaultHasher::new();
        for pair in self.values.iter() {
            pair.hash(&mut hasher);
        }
        for pair in self.times.iter() {
            pair.hash(&mut hasher);
        }
        (self.times.len() as u64, hasher.finish())
    }

    #[local]
    fn count(&mut self, id: u64) {
        let times = self.times.entry(id).or_insert(0);
        *times += 1;
        let times = *times;
        if times > 1 {
            self.doubled.insert(id, times);
        }
    }

    #[local]
    fn write(&mut self, context: &mut Context<Written>, key: u32, id: u64) -> Value {
        let before = self.values.get(&key).copied().unwrap_or_default();
        let value = Value {
            version: before.version + 1,
            id,
        };
        self.values.insert(key, value);
        context.emit(Written { key, value });
        before
    }
}
