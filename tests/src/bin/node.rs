//! A node for the tests with processes, set up by the environment.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> Result<ExitCode, braft::Error> {
    let mut config = braft::Config::from_env()?
        .service::<tests::Ledger>()
        .service::<tests::Counter>()
        .service::<tests::Mill>();
    if std::env::var_os("STUBBORN_LEADER").is_some() {
        config = tests::stubborn(config);
    }
    braft::run(config).await
}
