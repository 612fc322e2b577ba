//! This program as a node, set up by the environment.

use std::io::Read;
use std::process::ExitCode;

use braft::Config;

use crate::service::Registers;

/// Serves until it is told to stop, or until whoever started it is gone.
pub(crate) fn run() -> ExitCode {
    std::thread::spawn(|| {
        // Ends when the harness does, however that went.
        let ended = std::io::stdin().read_to_end(&mut Vec::new());
        drop(ended);
        std::process::exit(1);
    });
    let serve = || -> Result<ExitCode, Box<dyn std::error::Error>> {
        let runtime = tokio::runtime::Runtime::new()?;
        let config = Config::from_env()?.service::<Registers>();
        Ok(runtime.block_on(braft::run(config))?)
    };
    serve().unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}
