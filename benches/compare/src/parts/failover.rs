//! A leader that is killed, or falls silent, under load: how long nobody's write is acknowledged.

use std::path::Path;
use std::time::{Duration, Instant};

use load::Target;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::millis;
use crate::systems::NODES;
use crate::systems::Store;

/// Clients that write all the time.
const CLIENTS: usize = 16;
const VALUE_BYTES: usize = 256;
/// How long they write before the leader is taken away.
const BEFORE: Duration = Duration::from_secs(2);
/// Afterwards a write of its own begins so often, whatever has become of those before.
const PROBE_EVERY: Duration = Duration::from_millis(5);
/// The longest that is waited.
const WITHIN: Duration = Duration::from_secs(30);

/// How the leader is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Loss {
    /// `SIGKILL`: its connections break.
    Killed,
    /// `SIGSTOP`: its connections stay, and nothing comes.
    Silent,
}

/// One leader that was lost.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Failover {
    pub(crate) how: Loss,
    /// From the loss of the leader until a write is acknowledged that began after it, in milliseconds.
    pub(crate) ms: f64,
}

pub(crate) async fn measure<S: Store>(how: Loss, below: &Path) -> Result<Failover, String> {
    let mut cluster = S::start(below).await?;
    let leader = S::wait_for_leader(&mut cluster).await?;
    let mut targets = Vec::new();
    for node in (0..NODES).filter(|node| *node != leader) {
        targets.push(S::connect(cluster.place(), node).await?);
    }
    let mut clients = JoinSet::new();
    for (client, target) in (0..CLIENTS).zip(targets.iter().cycle()) {
        clients.spawn(write(target.clone(), client));
    }
    tokio::time::sleep(BEFORE).await;
    let lost = match how {
        Loss::Killed => cluster.kill(leader).await,
        Loss::Silent => cluster.silence(leader),
    };
    lost.map_err(|error| format!("{}: {error}", S::SYSTEM))?;
    let began = Instant::now();
    let acknowledged = tokio::time::timeout(WITHIN, first_acknowledged(&targets)).await;
    let took = began.elapsed();
    clients.shutdown().await;
    cluster.end().await;
    acknowledged.map_err(|_| {
        let seconds = WITHIN.as_secs();
        format!(
            "{}: no write was acknowledged within {seconds} s",
            S::SYSTEM
        )
    })?;
    Ok(Failover {
        how,
        ms: millis(took),
    })
}

/// Writes without end; what fails is tried again.
async fn write<T: Target>(target: T, client: usize) {
    let value = "v".repeat(VALUE_BYTES);
    for number in 0_u64.. {
        let key = format!("client-{client}-{}", number % 100);
        if target.put(&key, &value).await.is_err() {
            tokio::time::sleep(PROBE_EVERY).await;
        }
    }
}

/// Waits until one of many writes is acknowledged, which begin one after the other.
async fn first_acknowledged<T: Target>(targets: &[T]) {
    let (acknowledged, mut first) = mpsc::channel(1);
    let mut probes = JoinSet::new();
    let mut ticks = tokio::time::interval(PROBE_EVERY);
    for (number, target) in targets.iter().cycle().enumerate() {
        tokio::select! {
            biased;
            Some(()) = first.recv() => return,
            _ = ticks.tick() => {
                let (target, acknowledged) = (target.clone(), acknowledged.clone());
                probes.spawn(async move {
                    let key = format!("probe-{number}");
                    if target.put(&key, "v").await.is_ok() {
                        _ = acknowledged.try_send(());
                    }
                });
            }
        }
    }
}
