//! Two kinds of errors: the service's own, which are answers, and the cluster's, which say what
//! the caller can do and what may have happened.

use std::error::Error;
use std::net::Ipv4Addr;
use std::time::Duration;

use braft::{Config, ErrorKind, Outcome, raft_service};
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

/// The service's own error: any type that serde can carry.
#[derive(Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[error("counter would overflow")]
struct Overflow;

#[raft_service]
impl Counter {
    fn add(&mut self, by: u64) -> Result<u64, Overflow> {
        // An error does not undo anything: check first, then change.
        self.value = self.value.checked_add(by).ok_or(Overflow)?;
        Ok(self.value)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let data = tempfile::tempdir()?;
    let config = Config::new()
        .service::<Counter>()
        .data_dir(data.path())
        .ip(Ipv4Addr::LOCALHOST.into())
        .raft_port(0)
        // No others are to be waited for.
        .expect_nodes(1)
        .without_http();
    let node = braft::start(config).await?;
    let counter = node.client::<Counter>();

    // The first `?` is the cluster's error, the second the service's own.
    println!("add(1) answers {}", counter.add(1).await??);

    match counter.add(u64::MAX).await? {
        Ok(total) => println!("no overflow: {total}"),
        Err(error) => println!("the service says: {error}"),
    }

    node.shutdown(Duration::from_secs(5)).await;
    let call = counter.add(1).deadline(Duration::from_millis(500));
    let Err(error) = call.await else {
        return Err("a node that has stopped answered".into());
    };
    println!("the cluster says: {error}");
    println!("  what to do: {}", advice(error.kind()));
    println!("  what happened: {}", effect(error.outcome()));
    Ok(())
}

fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Rejected => "fix the call",
        ErrorKind::Busy => "back off, then try again",
        ErrorKind::Unavailable => "try again, later or at another node",
        ErrorKind::UnknownOutcome => "read the state before repeating the call",
        ErrorKind::Fatal => "restart the node; the message says why it stopped",
        _ => "see the message",
    }
}

fn effect(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotApplied => "nothing",
        Outcome::Applied => "the command was applied, its answer is lost",
        _ => "the command may or may not have been applied",
    }
}
