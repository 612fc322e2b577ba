//! Testing services: one struct in a process, or whole clusters with faults.
//!
//! ```
//! use braft::testing::{Cluster, TestResult};
//! # use braft::raft_service;
//! # use serde::{Deserialize, Serialize};
//! # #[raft_service]
//! # #[derive(Default, Serialize, Deserialize)]
//! # pub struct Counter { value: u64 }
//! # #[raft_service]
//! # impl Counter {
//! #     pub fn add(&mut self, by: u64) -> u64 { self.value += by; self.value }
//! # }
//!
//! #[braft::test(nodes = 3)]
//! async fn keeps_count_when_the_leader_dies(cluster: Cluster<Counter>) -> TestResult {
//!     let counter = cluster.client();
//!     assert_eq!(counter.add(2).await?, 2);
//!     let old = cluster.kill_leader().await?;
//!     assert_eq!(counter.add(3).await?, 5);
//!     cluster.restart(old).await?;
//!     cluster.converged().await?;
//!     Ok(())
//! }
//! ```

#[doc(hidden)]
pub mod bench;
mod check;
mod cluster;
mod faults;
#[doc(hidden)]
pub mod fuzz;
mod linearizable;
mod lock;
mod loopback;
mod result;
mod run;
mod simulation;

#[cfg(feature = "planted")]
#[doc(hidden)]
pub use crate::planted::Bug;
pub use check::{Check, CheckFailure, Passed, check};
pub use cluster::{Cluster, Down, TestNode};
pub use linearizable::{Linearizability, Model, Observed, linearizable};
pub use lock::schema_lock;
pub use loopback::loopback;
pub use result::{TestError, TestResult};
pub use run::{run_test, run_test_that_should_panic};

/// Lets commands of this process run without sessions, so that a benchmark can tell what they cost.
#[doc(hidden)]
pub fn without_sessions(without: bool) {
    crate::session::off::set(without);
}
