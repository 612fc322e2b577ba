//! The log's own thread: waits for operations, has the writer carry them out, marks an idle log.

use std::collections::VecDeque;
use std::io;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use super::shared::Shared;
use super::writer::Writer;

/// How long the log is idle before a mark says that the last batch was synced: long enough not
/// to compete with the next operation, short enough that a crash seldom finds it missing.
const IDLE_MARK_DELAY: Duration = Duration::from_millis(20);

/// Works until the log closes or fails.
pub(super) fn run(shared: &Shared, writer: &Mutex<Writer>) {
    let work = AssertUnwindSafe(|| {
        while await_ops(shared, writer) {
            while lock(writer).turn() {}
        }
        lock(writer).finish();
    });
    if catch_unwind(work).is_err() {
        // Whoever waits for the log must not wait for ever.
        lock(writer).fail(&panicked(), VecDeque::new());
    }
}

/// The writer. It may be at work in the thread of one who appends; never for long.
fn lock(writer: &Mutex<Writer>) -> MutexGuard<'_, Writer> {
    writer.lock().unwrap_or_else(|poisoned| {
        let mut writer = poisoned.into_inner();
        writer.fail(&panicked(), VecDeque::new());
        writer
    })
}

fn panicked() -> io::Error {
    io::Error::other("the log's writer panicked")
}

/// Waits for operations; false once the log has failed or is closed and drained.
fn await_ops(shared: &Shared, writer: &Mutex<Writer>) -> bool {
    let mut state = shared.lock();
    loop {
        if state.failed.is_some() {
            return false;
        }
        if !state.queue.is_empty() {
            return true;
        }
        if state.closing {
            return false;
        }
        state.writer_idle = true;
        if !state.unmarked {
            state = shared.wait(&shared.work, state);
            state.writer_idle = false;
            continue;
        }
        let batches = state.stats.batches;
        let (guard, waited) = shared
            .work
            .wait_timeout(state, IDLE_MARK_DELAY)
            .unwrap_or_else(PoisonError::into_inner);
        state = guard;
        state.writer_idle = false;
        // Others may have written meanwhile, without this thread.
        let is_idle = waited.timed_out() && state.stats.batches == batches;
        if is_idle && state.queue.is_empty() && !state.closing {
            drop(state);
            lock(writer).mark_idle();
            state = shared.lock();
        }
    }
}
