//! All mistakes are reported, and code that uses the service adds none.

use braft::raft_service;
use serde::{Deserialize, Serialize};

use std::collections::BTreeMap;

#[raft_service(edition = 1)]
#[derive(Default, Serialize, Deserialize)]
struct Store {
    items: BTreeMap<String, u64>,
    #[serde(skip)]
    cache: u64,
    last: Option<Option<u64>>,
}

#[raft_service(replicas = 3)]
impl Store {
    async fn put(&mut self, key: &str, value: u64) -> Option<u64> {
        self.items.insert(key.to_owned(), value)
    }

    fn add<T: Into<u64>>(&mut self, key: String, by: T) -> u64 {
        let _ = std::time::SystemTime::now();
        let item = self.items.entry(key).or_default();
        *item += by.into();
        *item
    }

    fn take(self, (key, most): (String, u64)) -> u64 {
        self.items.get(&key).copied().unwrap_or_default().min(most)
    }

    fn get(&self, key: &str) -> Option<&u64> {
        self.items.get(key)
    }
}

async fn all(store: StoreClient) -> Result<(), braft::Error> {
    let _: Option<u64> = store.put("a", 1).await?;
    let _: u64 = store.add("a".to_owned(), 2u32).await?;
    let _: u64 = store.take(("a".to_owned(), 3)).await?;
    let _: Option<u64> = store.get("a").local().await?;
    Ok(())
}

fn client() -> StoreClient {
    braft::testing::loopback::<Store>()
}

fn main() {}
