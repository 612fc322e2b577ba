//! The service as the load sees it.

use braft::{Client as _, ReadLevel};
use load::{Failed, Read, Target};

use crate::service::KvClient;

/// The map that the load writes to.
const MAP: &str = "bench";

/// One client; clones share its connection.
#[derive(Clone, Debug)]
pub(crate) struct KvTarget(KvClient);

impl KvTarget {
    pub(crate) async fn connect(addresses: &[String]) -> Result<Self, Failed> {
        let client = KvClient::connect(addresses.to_vec()).await;
        let client = client.map_err(|error| Failed(format!("the cluster: {error}")))?;
        Ok(KvTarget(client))
    }
}

impl Target for KvTarget {
    async fn put(&self, key: &str, value: &str) -> Result<(), String> {
        let put = self.0.set(MAP, key, value).await;
        put.map(drop).map_err(|error| error.to_string())
    }

    async fn get(&self, key: &str, read: Read) -> Result<Option<usize>, String> {
        let level = match read {
            Read::Linearizable => ReadLevel::Linearizable,
            Read::Lease => ReadLevel::Lease,
            Read::Local => ReadLevel::Local,
        };
        let got = self.0.get(MAP, key).read(level).await;
        got.map(|value| value.map(|value| value.len()))
            .map_err(|error| error.to_string())
    }
}
