//! Two services in one node: each with its own operations, errors and client, in one log.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::Ipv4Addr;
use std::time::Duration;

use braft::{Config, raft_service};
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

#[derive(Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[error("counter would overflow")]
struct Overflow;

#[raft_service]
impl Counter {
    fn add(&mut self, by: u64) -> Result<u64, Overflow> {
        self.value = self.value.checked_add(by).ok_or(Overflow)?;
        Ok(self.value)
    }
}

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Names {
    owners: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[error("{0:?} is taken")]
struct Taken(String);

#[raft_service]
impl Names {
    fn claim(&mut self, name: &str, owner: &str) -> Result<(), Taken> {
        if self.owners.contains_key(name) {
            return Err(Taken(name.to_owned()));
        }
        self.owners.insert(name.to_owned(), owner.to_owned());
        Ok(())
    }

    fn owner(&self, name: &str) -> Option<&str> {
        self.owners.get(name).map(String::as_str)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let data = tempfile::tempdir()?;
    let config = Config::new()
        .service::<Counter>()
        .service::<Names>()
        .data_dir(data.path())
        .ip(Ipv4Addr::LOCALHOST.into())
        .raft_port(0)
        // No others are to be waited for.
        .expect_nodes(1)
        .without_http();
    let node = braft::start(config).await?;
    let counter = node.client::<Counter>();
    let names = node.client::<Names>();

    println!("the counter is at {}", counter.add(2).await??);
    names.claim("lamp", "Ada").await??;
    println!("the lamp belongs to {:?}", names.owner("lamp").await?);

    assert_eq!(counter.add(u64::MAX).await?, Err(Overflow));
    let taken = names.claim("lamp", "Bob").await?;
    assert_eq!(taken, Err(Taken("lamp".to_owned())));
    println!("each service has its own errors");

    node.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
