//! A running node.
//!
//! | file | what it holds |
//! |---|---|
//! | `start.rs` | from a configuration to a running node |
//! | `core.rs` | its parts and how they meet |
//! | `door.rs` | where calls enter: to the log, to the readers, on to the leader |
//! | `feed.rs` | events of services, for their subscribers |
//! | `fresh.rs` | reads of its own state that must not be older than a moment |
//! | `handover.rs` | another voter takes the lead |
//! | `operating.rs` | what operators ask of it |
//! | `leaderships.rs` | who has led of late |
//! | `news.rs` | who leads, for callers |
//! | `leaving.rs` | leaving the cluster for good |
//! | `leading.rs` | runs what the program does on the leader alone |
//! | `metrics.rs` | its figures, for Prometheus and for the dashboard |
//! | `disk.rs` | watches free space and the growth of the log |
//! | `comparing.rs` | replicas compare their states; one that differs is made anew |
//! | `panics.rs` | what follows a command that panicked |
//! | `slow.rs` | reports commands and queries that take long |
//! | `snapshots.rs`, `purging.rs`, `holders.rs` | when a snapshot is due, how much of the log goes, and who has to do with a snapshot |
//! | `watchers.rs`, `tasks.rs` | what watches over raft, until the node stops |
//! | `status.rs` | what it says of itself |

mod comparing;
mod core;
mod disk;
mod door;
mod feed;
mod fresh;
mod handover;
mod holders;
mod leaderships;
mod leading;
mod leaving;
mod metrics;
mod news;
mod operating;
mod panics;
mod purging;
mod slow;
mod snapshots;
mod start;
mod status;
mod tasks;
mod watchers;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::core::Core;
pub use self::core::Stopped;
pub(crate) use self::leading::Leading;
pub(crate) use self::operating::AdminOf;
pub use self::start::start;
use crate::call::Channel;
use crate::discovery::Discovery;
use crate::service::Service;
use crate::status::Status;

/// A voter that has answered within this time is up, as far as anybody can tell.
const RECENT_CONTACT: Duration = Duration::from_millis(500);
/// The longest a source of peers may take to forget this node.
const WITHDRAW_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a node that gets ready is looked at for whether it has heard its leader.
const TOUCH_LOOK: Duration = Duration::from_millis(10);

/// A handle on a running node. Cheap to clone; the node stops when the last one is dropped.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
    /// Keeps the node running. The program's handles have it, those given to the node's own tasks
    /// have not: they would keep each other alive.
    _hold: Option<Arc<Hold>>,
}

/// Stops the servers and background tasks of a node when it is dropped.
struct Hold(CancellationToken);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

struct Inner {
    core: Arc<Core>,
    channel: Channel,
    /// Held while the node runs: it keeps telling the others of it.
    discovery: Arc<dyn Discovery>,
    tasks: TaskTracker,
    /// Ends the servers and the background tasks.
    stop: CancellationToken,
    http_address: Option<std::net::SocketAddr>,
    /// Set at the end of the start: own routes are made with the node in hand.
    router: OnceLock<axum::Router>,
    stopped: watch::Receiver<Option<Stopped>>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let me = self.inner.core.peers().me();
        f.debug_struct("Node")
            .field("address", &me.address)
            .finish_non_exhaustive()
    }
}

impl Node {
    fn new(inner: Inner) -> Self {
        let hold = Hold(inner.stop.clone());
        Node {
            inner: Arc::new(inner),
            _hold: Some(Arc::new(hold)),
        }
    }

    /// A handle that does not keep the node running.
    fn without_hold(inner: Arc<Inner>) -> Self {
        Node { inner, _hold: None }
    }

    /// The same node, without keeping it running.
    pub(crate) fn released(&self) -> Self {
        Self::without_hold(self.inner.clone())
    }

    /// A client of one of this cluster's services whose calls enter here.
    pub fn client<S: Service>(&self) -> S::Client {
        self.inner.channel.clone().into()
    }

    /// The way of its clients, with a tap on the attempts.
    #[cfg(feature = "testing")]
    pub(crate) fn tapped(&self, tap: Arc<dyn crate::client::Tap>) -> Channel {
        crate::client::tapped_here(door::gateway(&self.inner.core), tap)
    }

    /// What this node knows of itself and its cluster.
    pub fn status(&self) -> Status {
        self.inner.core.status()
    }

    /// The metrics of this node in the text format of Prometheus, as `GET /metrics` has them: for a page
    /// of one's own. All names begin with `braft_`.
    pub fn metrics(&self) -> String {
        self.inner.core.metrics()
    }

    /// The HTTP routes of this node, to nest into a server of one's own.
    pub fn router(&self) -> axum::Router {
        self.inner.router.get().cloned().unwrap_or_default()
    }

    /// Where this node serves HTTP, if it does.
    pub fn http_address(&self) -> Option<std::net::SocketAddr> {
        self.inner.http_address
    }

    /// Where peers and clients reach this node: "host:port".
    pub fn address(&self) -> &str {
        &self.inner.core.peers().me().address
    }

    #[cfg(any(feature = "testing", feature = "macros"))]
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.inner.core
    }

    /// Waits until this node is in a cluster that has a leader, is in touch with it, and knows its state up
    /// to now: what `/readyz` says.
    ///
    /// Returns at once, without success, when the node stops.
    pub async fn ready(&self) {
        let mut stopped = self.inner.stopped.clone();
        let core = &self.inner.core;
        let ready = async {
            let raft = core.raft_started().await;
            let serves = || raft.wait_for(|view| core.serves(view).is_ok());
            // The leader's first message makes it known a moment before it counts as heard.
            while serves().await.is_some() && !raft.is_in_touch() {
                tokio::time::sleep(TOUCH_LOOK).await;
            }
        };
        tokio::select! {
            _ = ready => {}
            _ = stopped.wait_for(Option::is_some) => {}
        }
    }

    /// Waits until this node has stopped, and says why.
    pub async fn stopped(&self) -> Stopped {
        let mut stopped = self.inner.stopped.clone();
        match stopped.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or(Stopped::Shutdown),
            Err(_) => Stopped::Shutdown,
        }
    }

    /// Hands leadership over, stops serving, and closes the log. Takes at most `deadline`, then
    /// stops the hard way: what was acknowledged is on disk in any case.
    pub async fn shutdown(&self, deadline: Duration) {
        let orderly = async {
            let withdrawn = tokio::time::timeout(WITHDRAW_TIMEOUT, self.inner.discovery.withdraw());
            // In vain: the others find out by themselves.
            let _ = tokio::join!(self.inner.core.hand_over(), withdrawn);
            self.halt().await;
        };
        if tokio::time::timeout(deadline, orderly).await.is_err() {
            tracing::warn!("the node did not stop in order within {deadline:?}");
        }
        self.inner.core.stop(Stopped::Shutdown);
    }

    /// Stops at once, without handing over: what a crash looks like to the others.
    #[cfg(feature = "testing")]
    pub(crate) async fn kill(&self) {
        self.halt().await;
        self.inner.core.stop(Stopped::Shutdown);
    }

    async fn halt(&self) {
        self.inner.stop.cancel();
        if let Some(raft) = self.inner.core.raft() {
            raft.shutdown().await;
        }
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        self.inner.core.close_disk();
    }
}
