//! From empty disks to three nodes that serve; a follower that is killed and comes back.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use super::millis;
use crate::systems::NODES;
use crate::systems::Store;

/// What the follower finds when it comes back: a little.
const KEYS: u64 = 1000;
const VALUE_BYTES: usize = 256;

/// How long it took, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Start {
    /// From the start of three processes on empty disks until each of them serves.
    pub(crate) cluster_ms: f64,
    /// From the start of the process of a killed follower until it serves.
    pub(crate) follower_ms: f64,
}

pub(crate) async fn measure<S: Store>(below: &Path) -> Result<Start, String> {
    let began = Instant::now();
    let mut cluster = S::start(below).await?;
    let cluster_ms = millis(began.elapsed());

    let leader = S::wait_for_leader(&mut cluster).await?;
    let connection = S::connect(cluster.place(), leader).await?;
    let name = S::SYSTEM.to_string();
    let written = load::write_all(KEYS, KEYS, VALUE_BYTES, &name, &connection).await;
    written.map_err(|error| format!("{name}: {error}"))?;
    let follower = (leader + 1) % NODES;
    let named = |error: std::io::Error| format!("{name}: {error}");
    cluster.kill(follower).await.map_err(named)?;
    let command = S::node(cluster.place(), follower).map_err(named)?;
    let began = Instant::now();
    cluster.restart(follower, command).map_err(named)?;
    S::wait_for(&mut cluster, follower).await?;
    let follower_ms = millis(began.elapsed());
    cluster.end().await;
    Ok(Start {
        cluster_ms,
        follower_ms,
    })
}
