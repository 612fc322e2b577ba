//! The background tasks of a node.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::world;

/// They are ended together; clones share them.
#[derive(Clone, Default)]
pub(super) struct Tasks {
    pub(super) tracker: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl Tasks {
    /// Runs a task until it ends, or all are ended.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn(world::in_process(async move {
            tokio::select! {
                // A task that sees what the end of others leads to must not take it for a failure.
                biased;
                () = stop.cancelled() => {}
                () = task => {}
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_happens_after_the_end_is_seen_by_no_task() {
        let tasks = Tasks::default();
        let saw: Arc<AtomicBool> = Arc::default();
        tasks.stop.cancel();
        for _ in 0..100 {
            let saw = Arc::clone(&saw);
            tasks.spawn(async move { saw.store(true, Ordering::Relaxed) });
        }
        tasks.tracker.close();
        tasks.tracker.wait().await;
        assert!(!saw.load(Ordering::Relaxed));
    }
}
