//! Clients that read and write.

use std::path::Path;

use load::{Figures, LoadArgs};

use crate::systems::Store;

/// Starts a cluster with empty disks, fills it, carries out all runs, and ends it.
pub(crate) async fn measure<S: Store>(
    args: &LoadArgs,
    below: &Path,
) -> Result<Vec<Figures>, String> {
    let mut cluster = S::start(below).await?;
    let leader = S::wait_for_leader(&mut cluster).await?;
    let mut targets = Vec::new();
    for _ in 0..args.connections {
        targets.push(S::connect(cluster.place(), leader).await?);
    }
    let filled = load::fill(args, &targets[0]).await;
    filled.map_err(|error| format!("{}: {error}", S::SYSTEM))?;
    let sample = async || S::sample(&cluster).await;
    let figures = load::run_all(args, &S::SYSTEM.to_string(), &targets, sample).await;
    cluster.end().await;
    Ok(figures)
}
