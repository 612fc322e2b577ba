//! What commands tell subscribers: events, their places, and batches of them on their way.

use std::fmt;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::request::Refusal;

/// The largest event, in bytes of MessagePack.
pub(crate) const MAX_EVENT_BYTES: usize = 1 << 20;

/// What a service can emit: data that serde can write and read back.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an event of a service",
    label = "not an event",
    note = "an event is data that derives `Serialize` and `Deserialize`; a service whose contexts \
            name no type of event emits none: write `&mut Context<MyEvent>`"
)]
pub trait Event: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Event for T {}

/// The place of an event among all events of its service; totally ordered, the same on every node
/// and for ever.
///
/// Keep the place of the last event that you have dealt with, and go on
/// [`after`](crate::Events::after) it. The default is the place before all events.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct EventPosition {
    /// The raft log index of the entry whose command emitted it.
    pub index: u64,
    /// Counts the events of the service within that entry, from 0.
    pub ordinal: u32,
}

impl EventPosition {
    /// The place behind all events of a log entry and of those before it. With the `index` of
    /// [`Context::log_position`](crate::Context::log_position) in a query it is the place of what the
    /// query has seen: the events after it are those that its answer does not know of.
    pub fn end_of_entry(index: u64) -> Self {
        EventPosition {
            index,
            ordinal: u32::MAX,
        }
    }
}

impl fmt::Display for EventPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.ordinal)
    }
}

/// Where a subscriber begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// With the oldest event that is kept.
    Oldest,
    After(EventPosition),
    /// With what is emitted from now on.
    Latest,
}

/// Some events that follow each other, and how far a subscriber has come with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventBatch {
    pub(crate) events: Vec<(EventPosition, Bytes)>,
    pub(crate) seen: EventPosition,
}

/// Batches of one service's events from one node, until that node cannot go on. The first one comes
/// at once, and may be empty.
pub(crate) type EventSource = BoxStream<'static, Result<EventBatch, Refusal>>;

/// A source that has nothing but a refusal.
pub(crate) fn refused(refusal: impl Into<Refusal>) -> EventSource {
    let refusal = refusal.into();
    Box::pin(futures_util::stream::once(async move { Err(refusal) }))
}
