//! Who looks at a cluster while something is done to it.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::super::record::Record;
use super::invariants::Invariants;
use crate::service::Service;
use crate::testing::cluster::{Cluster, TestNode};
use crate::testing::{TestError, TestResult};

/// Between two looks.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks at a cluster, and remembers what it saw.
pub(in super::super) struct Lookout<S> {
    cluster: Cluster<S>,
    record: Arc<Record>,
    invariants: Arc<Mutex<Invariants>>,
}

impl<S> Clone for Lookout<S> {
    fn clone(&self) -> Self {
        Lookout {
            cluster: self.cluster.clone(),
            record: Arc::clone(&self.record),
            invariants: Arc::clone(&self.invariants),
        }
    }
}

impl<S: Service> Lookout<S> {
    pub(in super::super) fn new(cluster: Cluster<S>, record: Arc<Record>) -> Self {
        Lookout {
            cluster,
            record,
            invariants: Arc::new(Mutex::new(Invariants::new(Instant::now()))),
        }
    }

    fn invariants(&self) -> MutexGuard<'_, Invariants> {
        let invariants = self.invariants.lock();
        invariants.unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is wrong with some node at this moment.
    pub(super) fn disturbed(&self) {
        self.invariants().disturbed();
    }

    pub(super) fn look(&self, disk_is_at_fault: impl Fn(TestNode) -> bool) {
        let mut invariants = self.invariants();
        invariants.look(&self.cluster, &self.record, disk_is_at_fault);
    }

    /// Looks again and again while something is done. Whatever disk it is done to, and whoever is removed
    /// for it, is no matter of these looks.
    pub(in super::super) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(LOOK_EVERY) => {
                    let mut invariants = self.invariants();
                    invariants.look_at_nodes(&self.cluster, &self.record, |_| true);
                }
            }
        }
    }

    /// States that were made by the same log were equal whenever they were compared.
    pub(in super::super) fn states_were_equal(&self) -> TestResult {
        match self.invariants().unequal() {
            Some(text) => Err(TestError::of_text(text.to_owned())),
            None => Ok(()),
        }
    }
}
