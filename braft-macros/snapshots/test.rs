#[braft::test]
async fn survives_the_leader(cluster: Cluster<Counter>) -> TestResult {
    cluster.kill_leader().await?;
    Ok(())
}

/// Says why.
#[braft::test(nodes = 5)]
#[ignore = "slow"]
#[should_panic(expected = "no quorum")]
async fn needs_a_majority(mut cluster: Cluster<Counter>) -> TestResult {
    cluster.stop_all().await?;
    Ok(())
}
