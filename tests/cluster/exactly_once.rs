//! Commands run once, whatever happens to the nodes that carry them.

use braft::testing::{Cluster, TestResult};

use crate::services::Counter;

#[braft::test(nodes = 3)]
async fn no_acknowledged_command_is_lost_or_doubled_while_leaders_die(
    cluster: Cluster<Counter>,
) -> TestResult {
    const WRITERS: u64 = 8;
    const WRITES: u64 = 50;
    let writers = (0..WRITERS).map(|_| {
        let counter = cluster.client();
        tokio::spawn(async move {
            let mut acknowledged = 0;
            let mut unknown = 0;
            for _ in 0..WRITES {
                match counter
                    .add(1)
                    .deadline(std::time::Duration::from_secs(20))
                    .await
                {
                    Ok(_) => acknowledged += 1,
                    Err(error) if error.outcome() == braft::Outcome::Unknown => unknown += 1,
                    Err(error) => panic!("nothing else is expected: {error:?}"),
                }
            }
            (acknowledged, unknown)
        })
    });
    let writers: Vec<_> = writers.collect();
    for _ in 0..3 {
        let down = cluster.kill_leader().await?;
        cluster.leader().await?;
        cluster.restart(down).await?;
    }
    let (mut acknowledged, mut unknown) = (0, 0);
    for writer in writers {
        let counts = writer.await?;
        acknowledged += counts.0;
        unknown += counts.1;
    }
    let total = cluster.client().get().await?;
    assert!(
        (acknowledged..=acknowledged + unknown).contains(&total),
        "{acknowledged} acknowledged, {unknown} unknown, {total} there"
    );
    cluster.converged().await?;
    Ok(())
}
