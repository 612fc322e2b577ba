//! Several nodes on this machine, each a process of its own.
//!
//! | file | what it holds |
//! |---|---|
//! | `plan.rs` | which nodes, where, and what stands in their way |
//! | `child.rs` | one node's process |
//! | `probe.rs`, `view.rs` | asking the nodes how they are |
//! | `watch.rs` | keeping them running, and saying how they are |
//! | `scratch.rs` | nodes for a measurement, on free ports and in a temporary directory |

mod child;
mod plan;
mod probe;
mod scratch;
mod view;
mod watch;

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

use futures_util::future::join_all;

use self::child::NodeProcess;
pub(crate) use self::scratch::Scratch;
use self::watch::Watch;
use crate::args::ClusterArgs;
use crate::signals::Signals;

/// Runs the nodes until a signal, or until one of them fails; then stops all.
pub(crate) async fn run(args: ClusterArgs) -> Result<ExitCode, Box<dyn Error>> {
    let mut signals = Signals::new()?;
    let members = plan::members(&args);
    let found = plan::prepare(&args.data_dir, &members)?;
    plan::check_ports(&members)?;

    let discovery = plan::discovery(&members);
    let mut watch = Watch::start(members, discovery)?;
    let place = args.data_dir.display();
    say(&match found {
        true => format!("starting on the data found below {place}"),
        false => format!("starting a new cluster, data below {place}"),
    });
    let failed = tokio::select! {
        // A signal first: it may be what ended a node.
        biased;
        () = signals.next() => None,
        failed = watch.run() => Some(failed),
    };
    if let Some(failed) = &failed {
        eprintln!("error: {failed}");
    }
    let in_order = stop(watch.into_processes(), &mut signals).await;
    Ok(match (failed, in_order) {
        (None, true) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// Stops all nodes at once; a second signal kills them. Says whether all went in order.
async fn stop(mut processes: Vec<NodeProcess>, signals: &mut Signals) -> bool {
    say("stopping the nodes");
    let all = join_all(processes.iter_mut().map(NodeProcess::stop));
    let stopped = tokio::select! {
        stopped = all => stopped,
        // Dropping the processes kills them.
        () = signals.next() => return false,
    };
    let mut in_order = true;
    for (process, _) in processes
        .iter()
        .zip(stopped)
        .filter(|(_, by_itself)| !by_itself)
    {
        let name = process.member.name();
        eprintln!("warning: {name} did not stop in time and was killed");
        in_order = false;
    }
    in_order
}

/// Prints a line; a closed standard output is no reason to stop the nodes.
fn say(text: &str) {
    drop(writeln!(io::stdout(), "{text}"));
}
