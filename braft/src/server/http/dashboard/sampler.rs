//! Looks at all nodes once a second while somebody watches: one look for all who do.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::{Stream, StreamExt};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;

use crate::node::Core;

/// Those who may watch one node at once.
pub(super) const MAX_WATCHERS: usize = 32;
/// How often all nodes are asked how they are.
const EVERY: Duration = Duration::from_secs(1);

pub(super) struct Sampler {
    core: Arc<Core>,
    /// The latest look, as JSON; empty while nobody watches.
    latest: watch::Sender<Arc<str>>,
    is_running: Mutex<bool>,
    places: Arc<Semaphore>,
    stopping: CancellationToken,
}

impl Sampler {
    pub(super) fn new(core: Arc<Core>, stopping: CancellationToken) -> Self {
        Sampler {
            core,
            latest: watch::Sender::new("".into()),
            is_running: Mutex::new(false),
            places: Arc::new(Semaphore::new(MAX_WATCHERS)),
            stopping,
        }
    }

    /// Cancelled when the node stops.
    pub(super) fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Each look from now on; `None` if too many watch already.
    pub(super) fn watch(self: &Arc<Self>) -> Option<impl Stream<Item = Arc<str>> + use<>> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        // Before it is asked whether the task runs: it ends only when it sees nobody.
        let looks = WatchStream::new(self.latest.subscribe());
        let mut is_running = self
            .is_running
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut *is_running, true) {
            tokio::spawn(self.clone().run());
        }
        let looks = looks.filter(|look| std::future::ready(!look.is_empty()));
        Some(looks.inspect(move |_| {
            let _held = &place;
        }))
    }

    async fn run(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.somebody_watches() {
            let look = async {
                ticks.tick().await;
                self.look().await
            };
            tokio::select! {
                look = look => drop(self.latest.send_replace(look)),
                () = self.stopping.cancelled() => return,
            }
        }
    }

    /// Whether anybody does; if not, the task has ended.
    fn somebody_watches(&self) -> bool {
        let mut is_running = self
            .is_running
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *is_running = self.latest.receiver_count() > 0;
        if !*is_running {
            // Whoever comes next is not shown what is old by then.
            self.latest.send_replace("".into());
        }
        *is_running
    }

    async fn look(&self) -> Arc<str> {
        let at = crate::world::wall_clock().duration_since(SystemTime::UNIX_EPOCH);
        let nodes = self.core.all_figures().await.into_iter();
        let nodes = nodes.map(|(mut status, figures)| {
            // The program's own words are not for this page.
            status.biz_data = Value::Null;
            json!({ "status": status, "figures": figures })
        });
        let look = json!({
            "at": at.map_or(0.0, |at| at.as_secs_f64()),
            "node": crate::member::display_id(self.core.peers().me().node_id),
            "nodes": nodes.collect::<Vec<_>>(),
        });
        look.to_string().into()
    }
}
