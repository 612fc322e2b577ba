//! Turns at keeping a thread of the runtime busy without telling it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use tokio::runtime::{Handle, Id};

use crate::world;

/// One turn for all nodes of a runtime: between them they keep one thread of it busy, never two, so
/// that another one carries on with the heartbeats.
#[derive(Debug)]
pub(super) struct Brief(Option<Arc<Mutex<()>>>);

impl Brief {
    /// Of a runtime with one thread there is none to keep busy, but where a simulation plays that there
    /// were.
    pub(super) fn of(runtime: &Handle) -> Self {
        // As many entries as there are runtimes with a node: those that are over go with the next.
        static TURNS: Mutex<Option<HashMap<Id, Weak<Mutex<()>>>>> = Mutex::new(None);
        if runtime.metrics().num_workers() < 2 && !world::relays() {
            return Brief(None);
        }
        let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        let turns = turns.get_or_insert_default();
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(&runtime.id()).and_then(Weak::upgrade) {
            return Brief(Some(turn));
        }
        let turn = Arc::default();
        turns.insert(runtime.id(), Arc::downgrade(&turn));
        Brief(Some(turn))
    }

    /// The turn, unless somebody has it.
    pub(super) fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        match self.0.as_ref()?.try_lock() {
            Ok(turn) => Some(turn),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;

    use super::*;

    fn runtime(threads: usize) -> tokio::runtime::Runtime {
        Builder::new_multi_thread()
            .worker_threads(threads)
            .build()
            .expect("a runtime")
    }

    #[test]
    fn nodes_of_one_runtime_share_one_turn_and_other_runtimes_have_their_own() {
        let (ours, theirs) = (runtime(2), runtime(2));
        let (one, two) = (Brief::of(ours.handle()), Brief::of(ours.handle()));
        let other = Brief::of(theirs.handle());
        let turn = one.turn();
        assert!(turn.is_some());
        assert!(two.turn().is_none());
        assert!(other.turn().is_some());
        drop(turn);
        assert!(two.turn().is_some());
    }

    #[test]
    fn the_only_thread_of_a_runtime_is_never_kept_busy() {
        let single = Builder::new_current_thread().build().expect("a runtime");
        assert!(Brief::of(single.handle()).turn().is_none());
        assert!(Brief::of(runtime(1).handle()).turn().is_none());
    }
}
