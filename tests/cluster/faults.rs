//! A network that is cut.

use std::time::Duration;

use braft::ErrorKind;
use braft::testing::{Cluster, TestResult};

use crate::services::Counter;

#[braft::test(nodes = 3)]
async fn an_isolated_leader_is_replaced_and_its_reads_are_not_stale(
    cluster: Cluster<Counter>,
) -> TestResult {
    let counter = cluster.client();
    counter.add(1).await??;
    let old = cluster.leader().await?;
    let inside = cluster.client_at(old)?;
    cluster.isolate(old);
    assert_eq!(counter.add(1).await??, 2);
    // The old leader cannot confirm that it leads, so it must not answer.
    let stale = inside.get().deadline(Duration::from_millis(800)).await;
    let kind = stale.map_err(|error| error.kind());
    assert_eq!(kind, Err(ErrorKind::Unavailable));
    cluster.heal();
    cluster.converged().await?;
    assert_eq!(inside.get().await?, 2);
    Ok(())
}

#[braft::test(nodes = 3)]
async fn a_minority_neither_writes_nor_loses_what_it_had(cluster: Cluster<Counter>) -> TestResult {
    let counter = cluster.client();
    counter.add(1).await??;
    let leader = cluster.leader().await?;
    let inside = cluster.client_at(leader)?;
    cluster.isolate(leader);
    let lost = inside.add(10).deadline(Duration::from_millis(800)).await;
    let kind = lost.map(drop).map_err(|error| error.kind());
    assert!(
        matches!(
            kind,
            Err(ErrorKind::Unavailable | ErrorKind::UnknownOutcome)
        ),
        "{kind:?}"
    );
    assert_eq!(counter.add(1).await??, 2);
    cluster.heal();
    cluster.converged().await?;
    assert_eq!(counter.get().await?, 2);
    Ok(())
}
