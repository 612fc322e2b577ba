//! The stores that are compared. Each is found, started as three processes, and called by clients
//! in this process, or in one that is built apart.

mod braft;
mod etcd;
mod hiqlite;
mod pysyncobj;

use std::fmt;
use std::path::Path;

use clap::ValueEnum;
use load::{Figures, LoadArgs, Operation, Target};
use serde::Serialize;

/// A store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum System {
    Braft,
    Etcd,
    #[value(name = "pysyncobj")]
    PySyncObj,
    Hiqlite,
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            System::Braft => "braft",
            System::Etcd => "etcd",
            System::PySyncObj => "PySyncObj",
            System::Hiqlite => "hiqlite",
        })
    }
}

/// What was found of a store.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Found {
    pub(crate) version: String,
    /// What one must know to compare the figures.
    pub(crate) differs: &'static str,
}

impl System {
    /// Looks whether the store is installed; if not, says how to install it.
    pub(crate) async fn find(self) -> Result<Found, String> {
        match self {
            System::Braft => Ok(braft::found()),
            System::Etcd => etcd::find().await,
            System::PySyncObj => pysyncobj::find().await,
            System::Hiqlite => hiqlite::find().await,
        }
    }

    /// Whether the store can do this; a store that cannot is left out of the run.
    fn can(self, operation: Operation) -> bool {
        match (self, operation) {
            (System::PySyncObj, _) => operation == Operation::Put,
            (System::Hiqlite, _) => matches!(operation, Operation::Put | Operation::Local),
            (System::Braft | System::Etcd, _) => true,
        }
    }

    /// Starts a cluster with empty disks, puts it under load, and ends it.
    pub(crate) async fn measure(
        self,
        args: &LoadArgs,
        below: &Path,
    ) -> Result<Vec<Figures>, String> {
        let mut args = args.clone();
        args.operation.retain(|operation| self.can(*operation));
        if args.operation.is_empty() {
            return Ok(Vec::new());
        }
        match self {
            System::Braft => braft::measure(&args, below).await,
            System::Etcd => etcd::measure(&args, below).await,
            System::PySyncObj => pysyncobj::measure(&args, below).await,
            System::Hiqlite => hiqlite::measure(&args, below).await,
        }
    }
}

/// Fills the store, then carries out all runs.
async fn put_under_load<T: Target>(
    args: &LoadArgs,
    system: System,
    targets: &[T],
    sample: impl AsyncFn() -> Vec<load::NodeSample>,
) -> Result<Vec<Figures>, String> {
    let filled = load::fill(args, &targets[0]).await;
    filled.map_err(|error| format!("{system}: {error}"))?;
    Ok(load::run_all(args, &system.to_string(), targets, sample).await)
}
