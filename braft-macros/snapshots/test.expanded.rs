#[::core::prelude::v1::test]
fn survives_the_leader() {
    async fn survives_the_leader(cluster: Cluster<Counter>) -> TestResult {
        cluster.kill_leader().await?;
        Ok(())
    }
    ::braft::testing::run_test(
        3,
        ::core::concat!(::core::module_path!(), "::", "survives_the_leader"),
        survives_the_leader,
    )
}
#[::core::prelude::v1::test]
/// Says why.
#[ignore = "slow"]
#[should_panic(expected = "no quorum")]
fn needs_a_majority() {
    async fn needs_a_majority(mut cluster: Cluster<Counter>) -> TestResult {
        cluster.stop_all().await?;
        Ok(())
    }
    ::braft::testing::run_test_that_should_panic(
        5,
        ::core::concat!(::core::module_path!(), "::", "needs_a_majority"),
        needs_a_majority,
    )
}
