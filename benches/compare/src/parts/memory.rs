//! Memory and disk after many writes.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::systems::Store;

const VALUE_BYTES: usize = 256;
/// How long the nodes have, before they are looked at, to do what they put off.
const SETTLE: Duration = Duration::from_secs(2);

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Filling {
    pub(crate) writes: u64,
    /// They are written one after the other, again and again.
    pub(crate) keys: u64,
}

impl Filling {
    /// What is there in the end: keys and values, bytes.
    pub(crate) fn live_bytes(&self) -> u64 {
        const KEY_BYTES: u64 = "key-00000000".len() as u64;
        self.keys.min(self.writes) * (KEY_BYTES + VALUE_BYTES as u64)
    }
}

/// What the node that takes most takes, bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Memory {
    #[serde(flatten)]
    pub(crate) filling: Filling,
    pub(crate) live_bytes: u64,
    /// Resident memory.
    pub(crate) rss_bytes: u64,
    pub(crate) disk_bytes: u64,
}

pub(crate) async fn measure<S: Store>(filling: Filling, below: &Path) -> Result<Memory, String> {
    let mut cluster = S::start(below).await?;
    let leader = S::wait_for_leader(&mut cluster).await?;
    let connection = S::connect(cluster.place(), leader).await?;
    let name = S::SYSTEM.to_string();
    let Filling { writes, keys } = filling;
    let written = load::write_all(writes, keys, VALUE_BYTES, &name, &connection).await;
    written.map_err(|error| format!("{name}: {error}"))?;
    tokio::time::sleep(SETTLE).await;
    let sample = cluster.sample();
    let rss_bytes = sample.iter().filter_map(|node| node.rss_bytes).max();
    let disk_bytes = cluster.disk_bytes();
    let disk_bytes = disk_bytes.map_err(|error| format!("{name}: {error}"))?;
    cluster.end().await;
    Ok(Memory {
        filling,
        live_bytes: filling.live_bytes(),
        rss_bytes: rss_bytes.ok_or("the system does not tell the memory of processes")?,
        disk_bytes: disk_bytes.into_iter().max().unwrap_or_default(),
    })
}
