//! What is measured, one file for each part.
//!
//! | file | what it holds |
//! |---|---|
//! | `nodes.rs` | clusters of more and more nodes |
//! | `values.rs` | values that get larger |
//! | `state.rs` | services that hold more and more: snapshots, and a node that gets one |
//! | `log.rs` | a long log: what it takes on disk, and how long a restart takes |
//! | `clients.rs` | many clients of one node |

mod clients;
mod log;
mod nodes;
mod state;
mod values;

use clap::ValueEnum;
use load::{Cluster, Figures, LoadArgs, Operation};

use crate::ScaleArgs;
use crate::client::{Held, InMap, InPlain};

/// A part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Clusters of more and more nodes
    Nodes,
    /// Values that get larger
    Values,
    /// Services that hold more and more
    State,
    /// A long log
    Log,
    /// Many clients of one node
    Clients,
}

/// Measures what was asked for, one part after the other, and prints each as soon as it is there.
pub(crate) async fn measure(args: &ScaleArgs) -> Result<(), String> {
    for part in &args.part {
        match part {
            Part::Nodes => nodes::measure(args).await?,
            Part::Values => values::measure(args).await?,
            Part::State => {
                let mut rows = state::measure::<InMap>(args).await?;
                rows.extend(state::measure::<InPlain>(args).await?);
                state::print(&rows);
            }
            Part::Log => log::measure(args).await?,
            Part::Clients => clients::measure(args).await?,
        }
    }
    Ok(())
}

/// The usual load, to be changed where a part wants another.
fn usual(args: &ScaleArgs, operations: &[Operation], clients: u32) -> LoadArgs {
    LoadArgs {
        operation: operations.to_vec(),
        clients: vec![clients],
        rate: None,
        seconds: args.measured(),
        warm_up: std::time::Duration::from_secs(1),
        value_bytes: 256,
        keys: 10_000,
        connections: 1,
        json: false,
    }
}

/// Says on standard error what is being measured.
fn tell(what: &str) {
    eprintln!("{what}");
}

/// Writes every key once, and carries out a load; nothing of it may fail.
async fn measured<H: Held>(
    load: &LoadArgs,
    client: H,
    cluster: &Cluster,
) -> Result<Vec<Figures>, String> {
    let filled = load::fill(load, &client).await;
    filled.map_err(|error| error.to_string())?;
    let sample = async || load::braft::sample(cluster).await;
    let all = load::run_all(load, "braft", &[client], sample).await;
    all.iter().try_for_each(without_errors)?;
    Ok(all)
}

/// What is said of a load that had errors.
fn without_errors(figures: &Figures) -> Result<(), String> {
    match (&figures.first_error, figures.errors) {
        (Some(first), errors) => Err(format!(
            "{errors} of the {}s failed, first: {first}",
            figures.operation
        )),
        (None, _) => Ok(()),
    }
}

/// Writes as many values as a service is to hold, many in each command.
async fn grow<H: Held>(client: &H, values: u64, bytes: usize) -> Result<(), String> {
    const AT_ONCE: u64 = 4000;
    let mut first = 0;
    while first < values {
        let count = AT_ONCE.min(values - first);
        client.grow(first, count, bytes).await?;
        first += count;
    }
    match client.len().await? {
        held if held >= values => Ok(()),
        held => Err(format!("the service holds {held} values, not {values}")),
    }
}
