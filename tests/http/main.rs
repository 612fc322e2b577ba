//! Services over HTTP, in JSON.

// Services are public in life; here nothing outside could see them.
#![allow(unreachable_pub)]
// Routers and clusters in one future are deep types.
#![recursion_limit = "256"]

use std::future::Future;

use braft::testing::TestResult;

mod ask;
mod browser;
mod calls;
mod contract;
mod dashboard;
mod events;
mod health;
mod keys;
mod logs;
mod metrics;
#[allow(dead_code)]
#[path = "../processes/nodes.rs"]
mod nodes;
mod port;
mod programs;
mod refusals;
mod tokens;
mod traces;

/// Runs a test that starts its own nodes.
fn run(test: impl Future<Output = TestResult>) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if let Err(error) = runtime.block_on(test) {
        panic!("{error}");
    }
}
