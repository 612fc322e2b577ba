//! Load for replicated stores: the demo's `bench` and the comparison drive theirs with it.
//!
//! | file | what it holds |
//! |---|---|
//! | `args.rs` | the options that say what to run |
//! | `target.rs` | the store under load, as the load sees it |
//! | `workload.rs` | which key is read or written next |
//! | `run.rs` | one run: warm-up, window, figures before and after |
//! | `closed.rs`, `open.rs` | clients that wait for each answer, and arrivals that wait for nobody |
//! | `tally.rs` | what one run's operations came to |
//! | `cluster.rs` | processes of one cluster, on addresses of their own |
//! | `braft.rs` | nodes of braft as such processes |
//! | `process.rs` | CPU time and memory of a process |
//! | `figures.rs`, `report.rs` | the figures of a run; all of them as a table |
//! | `overview.rs` | the nodes of a braft cluster, asked for their figures |
//! | `progress.rs` | the bar while it runs |

mod args;
pub mod braft;
mod closed;
mod cluster;
mod figures;
mod open;
mod overview;
mod process;
mod progress;
mod report;
mod run;
mod tally;
mod target;
mod workload;

pub use args::LoadArgs;
pub use cluster::{Cluster, Place, blocks_below};
pub use figures::Figures;
pub use overview::{Nodes, get};
pub use process::ProcessFigures;
pub use report::{json, table};
pub use run::{Failed, NodeSample, fill, run_all, write_all};
pub use target::{Read, Target};
pub use workload::Operation;
