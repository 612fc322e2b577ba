//! The seam to the wall clock, which only the leader's stamps go by.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::world;

/// A wall clock: the system's, unless a test has another.
#[derive(Clone, Default)]
pub(crate) struct WallClock(Option<Arc<dyn Fn() -> SystemTime + Send + Sync>>);

impl WallClock {
    #[cfg(feature = "testing")]
    pub(crate) fn of(clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        WallClock(Some(Arc::new(clock)))
    }

    /// The time since 1970; none before it.
    pub(crate) fn now(&self) -> Duration {
        let now = self
            .0
            .as_ref()
            .map_or_else(world::wall_clock, |clock| clock());
        now.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WallClock").finish_non_exhaustive()
    }
}
