//! What a command asks of the cluster besides its answer: to be woken, and to tell subscribers.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Wakes that one service may have pending.
pub(crate) const MAX_WAKES: usize = 65_536;

/// Refused by [`Context::wake_at`](crate::Context::wake_at): the service has 65,536 wakes pending.
///
/// Ask only for the earliest, and from the timer for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[error(
    "the service has {MAX_WAKES} wakes pending; ask only for the earliest, and from the timer for \
     the next one"
)]
pub struct TooManyWakes;

/// Gathered while a command or a timer runs; nothing comes of it if that panics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// Log times, in nanoseconds since 1970.
    pub(crate) wakes: BTreeSet<u64>,
    /// As MessagePack, in order.
    pub(crate) events: Vec<Bytes>,
    /// Why an event could not be emitted.
    pub(crate) fault: Option<String>,
}

/// A point in time as log time; what lies outside of log time becomes its first or last moment.
pub(crate) fn log_time(at: SystemTime) -> u64 {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Log time as a point in time.
pub(crate) fn system_time(log_time: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(log_time)
}
