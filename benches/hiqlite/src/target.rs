//! hiqlite's own remote client.

use std::time::Duration;

use hiqlite::Client;
use hiqlite::macros::CacheVariants;
use load::{Read, Target};

/// The longest the cluster may take until it serves.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The maps of the store: one.
#[derive(Debug, CacheVariants)]
pub(crate) enum Cache {
    Values,
}

#[derive(Clone)]
pub(crate) struct Connection(Client);

impl Connection {
    /// Connects, and waits until the cluster takes writes.
    pub(crate) async fn open(nodes: &[String], secret: &str) -> Result<Self, String> {
        let client = Client::remote(nodes.to_vec(), false, false, secret.to_owned(), false, None);
        let connection = Connection(client.await.map_err(|error| error.to_string())?);
        let healthy = connection.0.wait_until_healthy_cache_timeout(READY_WITHIN);
        healthy.await.map_err(|error| error.to_string())?;
        Ok(connection)
    }
}

impl Target for Connection {
    async fn put(&self, key: &str, value: &str) -> Result<(), String> {
        let (key, value) = (key.to_owned(), value.as_bytes().to_vec());
        let put = self.0.put_bytes(Cache::Values, key, value, None).await;
        put.map_err(|error| error.to_string())
    }

    async fn get(&self, key: &str, read: Read) -> Result<Option<usize>, String> {
        if read != Read::Local {
            return Err("hiqlite's cache has no linearizable reads".to_owned());
        }
        let got = self.0.get_bytes(Cache::Values, key).await;
        got.map(|value| value.map(|value| value.len()))
            .map_err(|error| error.to_string())
    }
}
