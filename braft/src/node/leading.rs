//! Runs what the program does on the leader alone, and tells it who leads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Inner, Node};
use crate::leadership::{LeaderChange, LeaderToken};
use crate::world;

/// How long a task may go on after its token is over. Then it is dropped where it next awaits.
const WIND_UP: Duration = Duration::from_secs(1);
/// How often a task that neither ends nor awaits is complained about.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// Makes the future that runs while this node leads.
pub(crate) type LeaderTask = Arc<dyn Fn(Node, LeaderToken) -> BoxFuture<'static, ()> + Send + Sync>;
/// Told who leads.
pub(crate) type OnLeaderChange = Arc<dyn Fn(LeaderChange) + Send + Sync>;

/// What the program does with leadership.
#[derive(Clone, Default)]
pub(crate) struct Leading {
    pub(crate) tasks: Vec<LeaderTask>,
    pub(crate) on_change: Vec<OnLeaderChange>,
}

/// Starts all of it; it idles until this node is in a cluster.
pub(super) fn start(leading: Leading, node: &Node, tasks: &TaskTracker, stop: &CancellationToken) {
    for task in leading.tasks {
        let supervisor = Supervisor {
            node: Arc::downgrade(&node.inner),
            task,
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        tasks.spawn(world::in_process(supervisor.run()));
    }
    for callback in leading.on_change {
        let (node, stop) = (Arc::downgrade(&node.inner), stop.clone());
        tasks.spawn(world::in_process(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tell(node, callback) => {}
            }
        }));
    }
}

/// Runs one task while this node leads: one at a time, the next when the last is gone.
struct Supervisor {
    /// Not the node itself: it stops when its last handle is dropped.
    node: Weak<Inner>,
    task: LeaderTask,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Supervisor {
    async fn run(self) {
        let Some(mut tokens) = self.tokens().await else {
            return;
        };
        loop {
            let next = async {
                let next = tokens.wait_for(|token| valid(token.as_ref())).await;
                next.ok().and_then(|token| token.clone())
            };
            let token = tokio::select! {
                token = next => token,
                () = self.stop.cancelled() => None,
            };
            let (Some(token), Some(inner)) = (token, self.node.upgrade()) else {
                return;
            };
            let node = Node::without_hold(inner);
            self.lead(node, token).await;
        }
    }

    async fn tokens(&self) -> Option<watch::Receiver<Option<LeaderToken>>> {
        let core = self.node.upgrade()?.core.clone();
        tokio::select! {
            raft = core.raft_started() => Some(raft.lease().tokens()),
            () = self.stop.cancelled() => None,
        }
    }

    /// Runs the task, and returns when it is gone and its token is over.
    async fn lead(&self, node: Node, token: LeaderToken) {
        tracing::info!(term = token.term(), "this node leads: a leader task starts");
        let (task, own) = (self.task.clone(), token.clone());
        let mut running = Running {
            token: token.clone(),
            handle: self
                .tasks
                .spawn(world::in_process(async move { task(node, own).await })),
        };
        let over = async {
            tokio::select! {
                () = token.cancelled() => {}
                () = self.stop.cancelled() => token.revoke(),
            }
        };
        tokio::pin!(over);
        tokio::select! {
            ended = &mut running.handle => {
                report(ended);
                // Started once in a leadership, even if it has nothing more to do.
                return over.await;
            }
            () = &mut over => {}
        }
        if let Ok(ended) = tokio::time::timeout(WIND_UP, &mut running.handle).await {
            return report(ended);
        }
        tracing::warn!(
            term = token.term(),
            "a leader task goes on {WIND_UP:?} after its token was over: it is dropped"
        );
        running.handle.abort();
        while tokio::time::timeout(COMPLAIN_EVERY, &mut running.handle)
            .await
            .is_err()
        {
            tracing::error!(
                term = token.term(),
                "a leader task blocks its thread and cannot be dropped; none is started before it \
                 ends: let it await, or run what blocks in tokio::task::spawn_blocking"
            );
        }
    }
}

fn valid(token: Option<&LeaderToken>) -> bool {
    token.is_some_and(LeaderToken::is_valid)
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    match ended {
        Ok(()) => tracing::debug!("a leader task has ended"),
        Err(error) if error.is_cancelled() => {}
        Err(error) => tracing::error!(
            %error,
            "a leader task panicked; it is started again with the next leadership"
        ),
    }
}

/// A running task, dropped with its supervisor.
struct Running {
    token: LeaderToken,
    handle: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.token.revoke();
        self.handle.abort();
    }
}

/// Tells a callback who leads: in order, and each time when it has taken in the last. It may block.
async fn tell(node: Weak<Inner>, callback: OnLeaderChange) {
    let Some(core) = node.upgrade().map(|inner| inner.core.clone()) else {
        return;
    };
    let mut changes = core.raft_started().await.lease().changes();
    drop(core);
    let mut told = LeaderChange::default();
    loop {
        let change = changes.borrow_and_update().clone();
        if change != told {
            told = change.clone();
            call(callback.clone(), change).await;
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

async fn call(callback: OnLeaderChange, change: LeaderChange) {
    let told =
        crate::world::blocking(move || catch_unwind(AssertUnwindSafe(|| callback(change))).is_ok());
    if !matches!(told.await, Ok(true)) {
        tracing::error!("the callback for changes of leader panicked");
    }
}
