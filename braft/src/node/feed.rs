//! Events of services for their subscribers, from this node's own state.
//!
//! A subscriber is read to from the history that the state keeps: one that is slow waits for nobody
//! and nobody for it. Once the next event is no longer kept, it is told so.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::sleep;

use super::core::{Core, Stopped};
use crate::error::Error;
use crate::event::{EventBatch, EventSource, Since, refused};
use crate::raft::RaftNode;
use crate::request::Refusal;

/// Subscribers of one node; a further one is busy and goes to another node.
pub(super) const MAX_SUBSCRIBERS: usize = 4096;
/// How often a node with nothing to tell looks whether it still hears of what is committed.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The events of a service from here on.
pub(super) fn events(core: &Core, service: &str, since: Since) -> EventSource {
    let Some(raft) = core.raft() else {
        return refused(Refusal::not_here("this node is in no cluster yet", None));
    };
    let Ok(permit) = core.subscribers.clone().try_acquire_owned() else {
        let text = format!("{MAX_SUBSCRIBERS} subscribers follow events on this node");
        return refused(Refusal::busy(text));
    };
    let feed = Feed {
        raft: raft.clone(),
        emitted: raft.watch_emitted(),
        stopped: core.stopped.subscribe(),
        service: service.to_owned(),
        since,
        is_open: false,
        _permit: permit,
    };
    let batches = stream::unfold(Some(feed), |feed| async move {
        let mut feed = feed?;
        match feed.next().await {
            Ok(batch) => Some((Ok(batch), Some(feed))),
            Err(refusal) => Some((Err(refusal), None)),
        }
    });
    batches.boxed()
}

struct Feed {
    raft: RaftNode,
    emitted: watch::Receiver<u64>,
    stopped: watch::Receiver<Option<Stopped>>,
    service: String,
    since: Since,
    /// Whether the first batch has gone out.
    is_open: bool,
    _permit: OwnedSemaphorePermit,
}

impl Feed {
    async fn next(&mut self) -> Result<EventBatch, Refusal> {
        loop {
            if self.stopped.borrow().is_some() {
                return Err(Error::fatal("this node has stopped").into());
            }
            // Before the look: what is emitted after it is news.
            self.emitted.mark_unchanged();
            let batch = self.read().await?;
            if !self.is_open || !batch.events.is_empty() {
                self.is_open = true;
                self.since = Since::After(batch.seen);
                return Ok(batch);
            }
            tokio::select! {
                changed = self.emitted.changed() => if changed.is_err() {
                    return Err(Error::fatal("this node has stopped").into());
                },
                _ = self.stopped.changed() => {}
                () = sleep(LOOK_EVERY) => if !self.raft.is_in_touch() {
                    let text = "this node has lost touch with the others";
                    return Err(Refusal::not_here(text, None));
                },
            }
        }
    }

    /// Looks at the state, on another thread if it is in use for long.
    async fn read(&self) -> Result<EventBatch, Refusal> {
        let machine = self.raft.machine();
        let glanced = machine.glance(|replica| replica.events(&self.service, self.since));
        if let Some(read) = glanced {
            return read;
        }
        let (raft, service, since) = (self.raft.clone(), self.service.clone(), self.since);
        let reading = move || raft.machine().read().events(&service, since);
        let read = tokio::task::spawn_blocking(reading).await;
        read.unwrap_or_else(|_| Err(Refusal::not_here("this node is stopping", None)))
    }
}
