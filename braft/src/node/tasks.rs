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
                () = stop.cancelled() => {}
                () = task => {}
            }
        }));
    }
}
