//! A node for the tests with processes, set up by the environment.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> Result<ExitCode, braft::Error> {
    let config = braft::Config::from_env()?;
    braft::run(config.service::<tests::Ledger>()).await
}
