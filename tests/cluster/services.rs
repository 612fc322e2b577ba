//! Two services in one node, each with commands, queries and errors of its own.

use std::collections::BTreeMap;

use braft::raft_service;
use braft::testing::{Cluster, TestNode, TestResult};
use serde::{Deserialize, Serialize};
pub use tests::{Counter, Overflow};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Names {
    names: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[error("{0:?} is taken")]
pub struct Taken(pub String);

#[raft_service]
impl Names {
    pub fn claim(&mut self, name: &str, owner: &str) -> Result<(), Taken> {
        if self.names.contains_key(name) {
            return Err(Taken(name.to_owned()));
        }
        self.names.insert(name.to_owned(), owner.to_owned());
        Ok(())
    }

    pub fn owner(&self, name: &str) -> Option<&str> {
        self.names.get(name).map(String::as_str)
    }

    pub fn count(&self) -> u64 {
        self.names.len() as u64
    }
}

#[braft::test(nodes = 3)]
async fn a_value_written_through_any_node_is_read_through_any_other(
    cluster: Cluster<Counter>,
) -> TestResult {
    let mut total = 0;
    for writer in 0..3 {
        total += 1;
        let written = cluster.client_at(TestNode(writer))?.add(1).await??;
        assert_eq!(written, total);
        for reader in 0..3 {
            assert_eq!(cluster.client_at(TestNode(reader))?.get().await?, total);
        }
    }
    Ok(())
}

#[braft::test(nodes = 1)]
async fn a_single_node_serves(cluster: Cluster<Counter>) -> TestResult {
    let counter = cluster.client();
    assert_eq!(counter.add(2).await??, 2);
    assert_eq!(counter.get().await?, 2);
    Ok(())
}

#[braft::test(nodes = 3)]
async fn a_services_own_error_reaches_the_caller(cluster: Cluster<Counter>) -> TestResult {
    let counter = cluster.client();
    counter.add(1).await??;
    assert_eq!(counter.add(u64::MAX).await?, Err(Overflow));
    assert_eq!(counter.get().await?, 1);
    Ok(())
}

#[test]
fn two_services_survive_restart_and_snapshot() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let result: TestResult = runtime.block_on(async {
        let cluster = Cluster::<Counter>::start_with(3, |config| {
            config
                .service::<Names>()
                .snapshot_every(20)
                .keep_log_entries(5)
        })
        .await?;
        let (counter, names) = (cluster.client(), cluster.client_of::<Names>());
        for i in 0..60 {
            counter.add(1).await??;
            names.claim(&format!("name-{i}"), "me").await??;
        }
        assert_eq!(
            names.claim("name-0", "you").await?,
            Err(Taken("name-0".to_owned()))
        );
        cluster.stop_all().await;
        cluster.start_all().await?;
        assert_eq!(counter.get().await?, 60);
        assert_eq!(names.count().await?, 60);
        assert_eq!(names.owner("name-7").await?.as_deref(), Some("me"));
        assert_eq!(counter.add(1).await??, 61);
        cluster.converged().await?;
        cluster.stop_all().await;
        Ok(())
    });
    result.map_err(|error| error.to_string().into())
}
