//! The stores that are compared. Each is found, started as three processes, and called by clients
//! in this process, or in one that is built apart.

mod braft;
mod etcd;
mod hiqlite;
mod pysyncobj;

use std::path::Path;
use std::{fmt, io};

use clap::ValueEnum;
use load::{Cluster, Figures, LoadArgs, NodeSample, Operation, Place, Target};
use serde::Serialize;
use tokio::process::Command;

use self::braft::Braft;
use self::etcd::Etcd;
use self::pysyncobj::PySyncObj;

use crate::parts::{self, Filling, Loss};

/// Nodes of each cluster.
pub(crate) const NODES: usize = 3;

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
            (System::Etcd, _) => operation != Operation::Lease,
            (System::Braft, _) => true,
        }
    }

    /// Puts a cluster under load.
    pub(crate) async fn load(self, args: &LoadArgs, below: &Path) -> Result<Vec<Figures>, String> {
        let mut args = args.clone();
        args.operation.retain(|operation| self.can(*operation));
        if args.operation.is_empty() {
            return Ok(Vec::new());
        }
        match self {
            System::Braft => parts::load::measure::<Braft>(&args, below).await,
            System::Etcd => parts::load::measure::<Etcd>(&args, below).await,
            System::PySyncObj => parts::load::measure::<PySyncObj>(&args, below).await,
            System::Hiqlite => hiqlite::measure(&args, below).await,
        }
    }

    /// Whether more is measured of the store than its load: what is as durable as braft, and called
    /// from this process.
    pub(crate) fn takes_all_parts(self) -> bool {
        matches!(self, System::Braft | System::Etcd)
    }

    /// Starts a cluster, and one of its followers once more.
    pub(crate) async fn start(self, below: &Path) -> Result<parts::Start, String> {
        match self {
            System::Braft => parts::start::measure::<Braft>(below).await,
            System::Etcd => parts::start::measure::<Etcd>(below).await,
            System::PySyncObj | System::Hiqlite => {
                Err(format!("{self} takes part in the load alone"))
            }
        }
    }

    /// Takes a leader away under load.
    pub(crate) async fn fail_over(
        self,
        how: Loss,
        below: &Path,
    ) -> Result<parts::Failover, String> {
        match self {
            System::Braft => parts::failover::measure::<Braft>(how, below).await,
            System::Etcd => parts::failover::measure::<Etcd>(how, below).await,
            System::PySyncObj | System::Hiqlite => {
                Err(format!("{self} takes part in the load alone"))
            }
        }
    }

    /// Writes much, and looks at memory and disk.
    pub(crate) async fn fill(
        self,
        filling: Filling,
        below: &Path,
    ) -> Result<parts::Memory, String> {
        match self {
            System::Braft => parts::memory::measure::<Braft>(filling, below).await,
            System::Etcd => parts::memory::measure::<Etcd>(filling, below).await,
            System::PySyncObj | System::Hiqlite => {
                Err(format!("{self} takes part in the load alone"))
            }
        }
    }
}

/// A store whose clients are in this process.
pub(crate) trait Store {
    type Connection: Target;
    const SYSTEM: System;

    /// The process of a node.
    fn node(place: &Place, node: usize) -> io::Result<Command>;

    /// Whether a node says that it serves: it knows a leader, and what the others know.
    async fn serves(place: &Place, node: usize) -> bool;

    /// The node that leads.
    async fn leader(place: &Place) -> Option<usize>;

    /// A connection of the store's own kind; one that knows a single address has that of this node.
    async fn connect(place: &Place, node: usize) -> Result<Self::Connection, String>;

    /// What the nodes have used and done.
    async fn sample(cluster: &Cluster) -> Vec<NodeSample> {
        cluster.sample()
    }

    /// Starts a cluster with empty disks, and waits until each node serves.
    async fn start(below: &Path) -> Result<Cluster, String> {
        let named = |error: io::Error| format!("{}: {error}", Self::SYSTEM);
        let place = Place::new(below, NODES).map_err(named)?;
        let mut cluster = place.start(Self::node).map_err(named)?;
        for node in 0..NODES {
            Self::wait_for(&mut cluster, node).await?;
        }
        Ok(cluster)
    }

    /// Waits until a node serves.
    async fn wait_for(cluster: &mut Cluster, node: usize) -> Result<(), String> {
        let what = format!("node {node} of {} to serve", Self::SYSTEM);
        let place = cluster.place().clone();
        let serves = || async { Self::serves(&place, node).await.then_some(()) };
        cluster.wait(&what, serves).await
    }

    /// Waits until a node leads; says which.
    async fn wait_for_leader(cluster: &mut Cluster) -> Result<usize, String> {
        let what = format!("a leader of {}", Self::SYSTEM);
        let place = cluster.place().clone();
        cluster.wait(&what, || Self::leader(&place)).await
    }
}
