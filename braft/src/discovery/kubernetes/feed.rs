//! One watch for all parts of a node that look, so that the API server is asked once and trouble
//! is reported once.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use tokio::sync::watch::{self, Receiver, Sender};

use crate::discovery::PeerSet;

/// The last set; `None` before the first.
type Sets = Option<PeerSet>;

/// Where those who look find the watch that is already there.
type Current = Arc<Mutex<Weak<Sender<Sets>>>>;

/// Begins with the first who looks and ends with the last.
#[derive(Default)]
pub(super) struct Feed(Current);

impl Feed {
    /// The present set as soon as it is known, then the next ones; `source` is followed in the
    /// background unless one is already.
    pub(super) fn follow(
        &self,
        source: BoxStream<'static, PeerSet>,
    ) -> BoxStream<'static, PeerSet> {
        let current = self.0.clone();
        // Begun with the first poll: only then there is surely a runtime.
        let sets = stream::once(async move { subscribe(&current, source) });
        sets.flat_map(|receiver| {
            stream::unfold(receiver, |mut receiver| async move {
                receiver.changed().await.ok()?;
                let set = receiver.borrow_and_update().clone();
                Some((set, receiver))
            })
        })
        .filter_map(std::future::ready)
        .boxed()
    }
}

fn subscribe(current: &Current, source: BoxStream<'static, PeerSet>) -> Receiver<Sets> {
    let mut known = current.lock().unwrap_or_else(PoisonError::into_inner);
    let mut receiver = match known.upgrade() {
        Some(sender) => sender.subscribe(),
        None => {
            let (sender, receiver) = watch::channel(None);
            let sender = Arc::new(sender);
            *known = Arc::downgrade(&sender);
            tokio::spawn(run(current.clone(), sender, source));
            receiver
        }
    };
    // What was seen before this one looked is new to it.
    receiver.mark_changed();
    receiver
}

async fn run(current: Current, sender: Arc<Sender<Sets>>, mut source: BoxStream<'static, PeerSet>) {
    loop {
        tokio::select! {
            set = source.next() => match set {
                Some(set) => drop(sender.send_replace(Some(set))),
                None => return,
            },
            () = sender.closed() => {
                // Under the lock nobody can come back in between.
                let mut known = current.lock().unwrap_or_else(PoisonError::into_inner);
                if sender.receiver_count() == 0 {
                    *known = Weak::new();
                    return;
                }
            }
        }
    }
}

/// A clone of a source may be told to look elsewhere: it has a watch of its own.
impl Clone for Feed {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// What is followed does not depend on who looks.
impl PartialEq for Feed {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Feed {}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Feed")
    }
}
