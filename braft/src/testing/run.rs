//! Running the body of `#[braft::test]`.

use std::future::Future;

use super::{Cluster, TestResult};
use crate::service::Service;

/// Threads of a test's runtime: the nodes share them.
const WORKER_THREADS: usize = 2;

/// Starts a cluster, runs the body, stops the cluster; panics with the error if there is one.
pub fn run_test<S, F, Fut>(nodes: usize, name: &str, body: F)
where
    S: Service,
    F: FnOnce(Cluster<S>) -> Fut,
    Fut: Future<Output = TestResult>,
{
    if let Err(error) = run(nodes, body) {
        panic!("{name}: {error}");
    }
}

/// The same for a test that is to panic: an error is printed, and is not the panic it should be.
pub fn run_test_that_should_panic<S, F, Fut>(nodes: usize, name: &str, body: F)
where
    S: Service,
    F: FnOnce(Cluster<S>) -> Fut,
    Fut: Future<Output = TestResult>,
{
    if let Err(error) = run(nodes, body) {
        eprintln!("{name}: {error}");
    }
}

fn run<S, F, Fut>(nodes: usize, body: F) -> TestResult
where
    S: Service,
    F: FnOnce(Cluster<S>) -> Fut,
    Fut: Future<Output = TestResult>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let cluster = Cluster::start(nodes).await?;
        let stopper = cluster.clone();
        let result = body(cluster).await;
        stopper.stop_all().await;
        result
    })
}
