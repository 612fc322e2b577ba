//! One node, configured by the environment.

use std::error::Error;
use std::io::{Read, sink, stdin};
use std::path::PathBuf;
use std::process::ExitCode;

use braft::{Config, Node};
use tokio::sync::oneshot;

use crate::args::NodeArgs;
use crate::http;
use crate::service::Kv;
use crate::signals::Signals;

/// How many nodes form a cluster, where neither a list nor BRAFT_EXPECT says so.
const DEFAULT_NODES: usize = 3;

/// Runs until a signal, and stops in order.
pub(crate) async fn run(args: NodeArgs) -> Result<ExitCode, Box<dyn Error>> {
    let mut config = Config::from_env()?
        .service::<Kv>()
        .default_discovery("mdns", DEFAULT_NODES)
        .http_routes(|node: &Node| http::routes(node.client::<Kv>()));
    if let Some(data_dir) = args.data_dir.or_else(default_data_dir) {
        config = config.data_dir(data_dir);
    }
    if !args.until_stdin_ends {
        return Ok(braft::run(config).await?);
    }
    let mut signals = Signals::new()?;
    let stop = async move {
        tokio::select! {
            () = signals.next() => {}
            () = stdin_ends() => {}
        }
    };
    Ok(braft::run_until(config, stop).await?)
}

/// A directory for each port, so that several nodes may be started in one place; the same that the
/// cluster command uses. A configuration file decides by itself.
fn default_data_dir() -> Option<PathBuf> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    if set("BRAFT_CONFIG").is_some() {
        return None;
    }
    // What is not a port is refused when the node starts, before it makes a directory.
    let port = set("BRAFT_RPORT").or_else(|| set("BRP"));
    let port = port.as_deref().unwrap_or("15000");
    Some(format!("./braft-data/node-{port}").into())
}

/// Waits until the process that holds the other end of standard input has gone.
// A thread of its own: the runtime waits at its end for reads that it started itself.
async fn stdin_ends() {
    let (ended, end) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        // Whatever ends the input, an error included, says that nobody holds it any more.
        drop(std::io::copy(&mut stdin().lock().by_ref(), &mut sink()));
        drop(ended);
    });
    drop(end.await);
}
