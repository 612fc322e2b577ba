//! The smallest program: a counter that survives the loss of its machine.
//!
//! Start it as three nodes, in three terminals:
//! ```text
//! BRAFT_RPORT=15000 BRAFT_DATA_DIR=/tmp/a BRAFT_DISCOVERY=:15000,:16000,:17000 cargo run --bin hello
//! ```
//! likewise with 16000 and 17000, each with a directory of its own.

use braft::{Config, raft_service};
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

#[raft_service]
impl Counter {
    /// Adds `by` and returns the new total.
    fn add(&mut self, by: u64) -> u64 {
        self.value = self.value.saturating_add(by);
        self.value
    }

    fn get(&self) -> u64 {
        self.value
    }
}

#[tokio::main]
async fn main() -> Result<std::process::ExitCode, braft::Error> {
    braft::run(Config::from_env()?.service::<Counter>()).await
}
