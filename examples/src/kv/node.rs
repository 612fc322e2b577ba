//! One node, configured by the environment.

use std::error::Error;
use std::io::{Read, sink, stdin};
use std::process::ExitCode;

use braft::{Config, Node};
use tokio::sync::oneshot;

use crate::args::NodeArgs;
use crate::http;
use crate::service::Kv;
use crate::signals::Signals;

/// Runs until a signal, and stops in order.
pub(crate) async fn run(args: NodeArgs) -> Result<ExitCode, Box<dyn Error>> {
    let mut config = Config::from_env()?
        .service::<Kv>()
        .http_routes(|node: &Node| http::routes(node.client::<Kv>()));
    if let Some(data_dir) = args.data_dir {
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
