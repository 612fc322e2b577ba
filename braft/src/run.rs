//! A whole program: start, wait for a signal, drain, stop.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use crate::config::Config;
use crate::error::Error;
use crate::node::{Stopped, start};

/// The longest a node takes to hand over and stop.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(10);

/// Runs a node until SIGINT or SIGTERM, then stops it in order.
///
/// Sets up logging to standard error if the program has not (`RUST_LOG` chooses what, `info` by
/// default), and with the feature `otel` the export of spans (`docs/tracing.md`). The exit code is 0 after a signal; after a stop that the node was forced into it is
/// 1, or what [`Config::shutdown_exit_code`] says.
///
/// # Errors
/// If the node cannot start: the message says why and what to do.
pub async fn run(config: Config) -> Result<ExitCode, Error> {
    run_until(config, signal()).await
}

/// Runs a node until the future is ready, then stops it in order. Otherwise like [`run`].
///
/// # Errors
/// If the node cannot start: the message says why and what to do.
pub async fn run_until(
    config: Config,
    until: impl Future<Output = ()> + Send,
) -> Result<ExitCode, Error> {
    let spans = crate::logging::start();
    let forced = config.exit_code_when_forced();
    let node = start(config).await?;
    let stopped = tokio::select! {
        () = until => {
            node.shutdown(SHUTDOWN_DEADLINE).await;
            node.stopped().await
        }
        stopped = node.stopped() => stopped,
    };
    let code = match stopped {
        Stopped::Shutdown => ExitCode::SUCCESS,
        Stopped::Fatal(why) => {
            tracing::error!("the node stopped: {why}");
            node.shutdown(SHUTDOWN_DEADLINE).await;
            ExitCode::from(forced)
        }
    };
    // It waits for the collector.
    let finished = crate::world::blocking(move || spans.finish()).await;
    if let Err(error) = finished {
        tracing::debug!(%error, "the last spans were not exported");
    }
    Ok(code)
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        tracing::warn!("signals cannot be caught; stop the program by other means");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
    }
}
