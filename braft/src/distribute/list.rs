//! One list, typed, as a node sees it.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::item::{Assignment, Payload, Share, WorkError, WorkItem};
use super::lists::{WorkLists, WorkListsClient};
use crate::error::Error;
use crate::member::display_id;
use crate::node::{Core, Node, Stopped};

/// The longest a change of the share waits for its turn: the state changes with every command.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Node {
    /// A list of work items, some of which are this node's. See [`distribute`](crate::distribute).
    pub fn work_list<T>(&self, name: impl Into<String>) -> WorkList<T> {
        WorkList {
            name: name.into(),
            node: display_id(self.core().peers().me().node_id),
            lists: self.client::<WorkLists>(),
            core: self.core().clone(),
            item: PhantomData,
        }
    }
}

/// A list of work items of type `T`. Cheap to clone; does not keep the node running.
pub struct WorkList<T> {
    name: String,
    /// This node's id.
    node: String,
    lists: WorkListsClient,
    core: Arc<Core>,
    item: PhantomData<fn() -> T>,
}

impl<T> Clone for WorkList<T> {
    fn clone(&self) -> Self {
        WorkList {
            name: self.name.clone(),
            node: self.node.clone(),
            lists: self.lists.clone(),
            core: self.core.clone(),
            item: PhantomData,
        }
    }
}

impl<T> std::fmt::Debug for WorkList<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkList")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<T: Serialize> WorkList<T> {
    /// Makes the list of exactly these items. Those that are in it already stay where they are.
    ///
    /// # Errors
    /// The outer one is the cluster's; the inner one says which limit was met.
    pub async fn set(&self, items: &[WorkItem<T>]) -> Result<Result<(), WorkError>, Error> {
        let stored = items
            .iter()
            .map(|item| Ok(WorkItem::new(item.id.clone(), Payload::of(&item.value)?)));
        let stored = stored.collect::<Result<_, Error>>()?;
        self.lists.set(&self.name, stored).await
    }

    /// Adds an item at the end of the list, or changes its value.
    ///
    /// # Errors
    /// The outer one is the cluster's; the inner one says which limit was met.
    pub async fn put(&self, id: &str, value: &T) -> Result<Result<(), WorkError>, Error> {
        let item = WorkItem::new(id, Payload::of(value)?);
        self.lists.put(&self.name, item).await
    }
}

impl<T> WorkList<T> {
    /// Removes an item.
    ///
    /// # Errors
    /// The outer one is the cluster's; the inner one says that there is no such item.
    pub async fn remove(&self, id: &str) -> Result<Result<(), WorkError>, Error> {
        self.lists.remove(&self.name, id).await
    }

    /// Who has which item, as of now; `None` if there is no such list.
    ///
    /// # Errors
    /// The cluster's.
    pub async fn assignments(&self) -> Result<Option<Vec<Assignment>>, Error> {
        self.lists.assignments(&self.name).await
    }

    /// This node's share, newer than the position given, as far as this node has applied the log.
    async fn newer(&self, than: Option<&Share<Payload>>) -> Result<Option<Share<Payload>>, Error> {
        let seen = than.map(|share| share.position);
        self.lists.share(&self.name, &self.node, seen).local().await
    }
}

impl<T: DeserializeOwned> WorkList<T> {
    /// This node's share, as far as this node has applied the log.
    ///
    /// # Errors
    /// *Rejected* if an item is not of type `T`, or the program does not
    /// [distribute](crate::Config::distribute).
    pub async fn share(&self) -> Result<Share<T>, Error> {
        let share = self.newer(None).await?;
        share
            .ok_or_else(|| Error::unavailable("the node gave no share; try again"))?
            .typed()
    }

    /// This node's share: the present one, and then each other one, as this node applies the log.
    ///
    /// Positions only grow. Ends when the node stops, or after an error of the cluster; an item
    /// that is not of type `T` is an error too, and does not end it.
    pub fn shares(&self) -> Shares<T>
    where
        T: Send + 'static,
    {
        let following = Following {
            list: self.clone(),
            last: None,
            failed: false,
        };
        Shares(stream::unfold(following, Following::next).boxed())
    }
}

/// The shares of a node, as they change: see [`WorkList::shares`].
pub struct Shares<T>(BoxStream<'static, Result<Share<T>, Error>>);

impl<T> Stream for Shares<T> {
    type Item = Result<Share<T>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

impl<T> std::fmt::Debug for Shares<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shares").finish_non_exhaustive()
    }
}

struct Following<T> {
    list: WorkList<T>,
    last: Option<Share<Payload>>,
    failed: bool,
}

impl<T: DeserializeOwned> Following<T> {
    async fn next(mut self) -> Option<(Result<Share<T>, Error>, Self)> {
        if self.failed {
            return None;
        }
        let core = self.list.core.clone();
        let mut stopped = core.watch_stopped();
        let changed = tokio::select! {
            // First: a node that has stopped also refuses to be read, which is no news.
            biased;
            () = over(&mut stopped) => return None,
            changed = self.changed(&core) => changed?,
        };
        self.failed = changed.is_err();
        Some((changed.and_then(|share| share.typed()), self))
    }

    /// Waits for another share than the last; `None` once raft has stopped.
    async fn changed(&mut self, core: &Core) -> Option<Result<Share<Payload>, Error>> {
        let mut applied = core.raft_started().await.watch_applied();
        loop {
            applied.mark_unchanged();
            match self.list.newer(self.last.as_ref()).await {
                Ok(Some(share)) => {
                    let old = self.last.replace(share.clone());
                    if old.is_none_or(|old| old.state != share.state) {
                        return Some(Ok(share));
                    }
                }
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
            applied.changed().await.ok()?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

async fn over(stopped: &mut watch::Receiver<Option<Stopped>>) {
    // An error means that the node is gone.
    drop(stopped.wait_for(Option::is_some).await);
}
