//! Tasks of raft that wake each other, run one after the other on the same thread.
//!
//! A lone command goes through raft's core, the task that tells it what is synced, the core again, the
//! state machine, and the core once more. Of tasks that wake each other tokio runs three in a row, and
//! then wakes another of its threads for the next: that takes longer than all of them. So what wrote a
//! lone entry begins a relay: as long as it lasts, a task of raft that is woken on this thread is run
//! there as soon as the one that woke it pauses. Everything else goes its usual way.
//!
//! Nor may a task of raft wait for a thread that is kept busy: see [`GiveWay`].

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use futures_util::task::AtomicWaker;

/// Runs in one relay: the four that follow a lone entry, and as many more. What is woken then waits
/// for its own turn.
const MAX_RUNS: usize = 8;

/// It was woken, and somebody has been told to run it.
const WOKEN: u8 = 1;
/// Somebody is running it.
const RUNNING: u8 = 2;
/// It has ended.
const OVER: u8 = 4;

/// What a thread is doing.
#[derive(Default)]
struct Track {
    /// It is running tasks of raft.
    is_inside: Cell<bool>,
    is_open: Cell<bool>,
    /// Woken since the relay began, to be run here.
    woken: RefCell<VecDeque<Arc<dyn Runner>>>,
}

thread_local! {
    static TRACK: Track = Track::default();
    #[cfg(test)]
    static BEGUN: Cell<u64> = const { Cell::new(0) };
}

/// Begins a relay, in a task of raft that is being run; it ends when nobody is woken any more.
pub(super) fn begin() {
    TRACK.with(|track| track.is_open.set(track.is_inside.get()));
    #[cfg(test)]
    BEGUN.set(BEGUN.get() + u64::from(is_open()));
}

/// How many relays this thread has begun.
#[cfg(test)]
pub(crate) fn begun() -> u64 {
    BEGUN.get()
}

/// Whether this thread is in a relay.
pub(super) fn is_open() -> bool {
    TRACK.with(|track| track.is_open.get())
}

/// Lets the tasks that wait for this thread run first.
///
/// tokio's own `yield_now` puts a task on a list of the thread, of which no other thread takes anything:
/// if this thread is then kept busy by brief work that is not brief, the task waits for its end. This
/// one waits in the thread's queue, of which others take.
#[derive(Debug, Default)]
pub(super) struct GiveWay {
    is_over: bool,
}

impl Future for GiveWay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.is_over, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A task that can be run by whoever woke it.
trait Runner: Send + Sync {
    fn run(self: Arc<Self>);
    /// Has it run by the runtime.
    fn leave_to_runtime(&self);
}

/// A future, run by its own task of the runtime or in a relay.
struct Task<F: Future> {
    state: AtomicU8,
    future: Mutex<Stage<F>>,
    /// Wakes its own task.
    own: AtomicWaker,
}

enum Stage<F: Future> {
    Running(Pin<Box<F>>),
    Over(thread::Result<F::Output>),
    Gone,
}

/// What the runtime is given to run.
pub(super) struct Runs<F>(Arc<Task<F>>)
where
    F: Future + Send + 'static,
    F::Output: Send;

impl<F> Runs<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    pub(super) fn new(future: F) -> Self {
        Runs(Arc::new(Task {
            state: AtomicU8::new(WOKEN),
            future: Mutex::new(Stage::Running(Box::pin(future))),
            own: AtomicWaker::new(),
        }))
    }
}

impl<F> Future for Runs<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let task = &self.0;
        task.own.register(cx.waker());
        run_and_follow(Arc::clone(task) as _);
        if task.state.load(Ordering::Acquire) & OVER == 0 {
            return Poll::Pending;
        }
        match std::mem::replace(&mut *task.lock(), Stage::Gone) {
            Stage::Over(Ok(output)) => Poll::Ready(output),
            Stage::Over(Err(panic)) => resume_unwind(panic),
            Stage::Running(_) | Stage::Gone => Poll::Pending,
        }
    }
}

/// The runtime lets go of a task: what is in it must go, too, whoever still has a waker of it.
impl<F> Drop for Runs<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn drop(&mut self) {
        let stage = std::mem::replace(&mut *self.0.lock(), Stage::Gone);
        drop(stage);
    }
}

/// Runs a task, and those that are woken in a relay.
fn run_and_follow(first: Arc<dyn Runner>) {
    TRACK.with(|track| {
        let is_first = !track.is_inside.replace(true);
        first.run();
        if !is_first {
            return;
        }
        let mut runs = 0;
        while let Some(next) = track.take_next() {
            runs += 1;
            if runs == MAX_RUNS {
                track.is_open.set(false);
            }
            if runs <= MAX_RUNS {
                next.run();
            } else {
                next.leave_to_runtime();
            }
        }
        track.is_open.set(false);
        track.is_inside.set(false);
    });
}

impl Track {
    fn take_next(&self) -> Option<Arc<dyn Runner>> {
        self.woken.borrow_mut().pop_front()
    }
}

impl<F> Task<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn lock(&self) -> MutexGuard<'_, Stage<F>> {
        self.future.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets it be run: in this thread's relay, if there is one.
    fn schedule(self: &Arc<Self>) {
        let in_relay = TRACK.try_with(|track| {
            let is_open = track.is_open.get();
            if is_open {
                track.woken.borrow_mut().push_back(Arc::clone(self) as _);
            }
            is_open
        });
        if in_relay != Ok(true) {
            self.own.wake();
        }
    }

    fn advance(self: &Arc<Self>) {
        let waker = Waker::from(Arc::clone(self));
        let mut stage = self.lock();
        let Stage::Running(future) = &mut *stage else {
            return;
        };
        let mut cx = Context::from_waker(&waker);
        // Who runs it need not be its own task, which alone may end with its panic.
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut cx)));
        let result = match polled {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(panic) => Err(panic),
        };
        *stage = Stage::Over(result);
        self.state.fetch_or(OVER, Ordering::Release);
    }
}

impl<F> Runner for Task<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    /// Runs it if it was woken and nobody is at it; whoever is at it sees that it was woken again.
    fn run(self: Arc<Self>) {
        let begun =
            self.state
                .compare_exchange(WOKEN, RUNNING, Ordering::Acquire, Ordering::Relaxed);
        if begun.is_err() {
            return;
        }
        self.advance();
        // It paused because its time was up, and is on the list of this thread: see `GiveWay`.
        if !tokio::task::coop::has_budget_remaining() {
            self.wake_by_ref();
        }
        let before = self.state.fetch_and(!RUNNING, Ordering::AcqRel);
        if before & OVER != 0 {
            self.own.wake();
        } else if before & WOKEN != 0 {
            self.schedule();
        }
    }

    fn leave_to_runtime(&self) {
        self.own.wake();
    }
}

impl<F> Wake for Task<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // If it was woken before, somebody was told; if it is being run, whoever does sees it.
        if self.state.fetch_or(WOKEN, Ordering::AcqRel) == 0 {
            self.schedule();
        }
    }
}

#[cfg(test)]
mod tests;
