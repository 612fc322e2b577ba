//! The process of a simulated node: all its tasks can be held at once, as SIGSTOP holds the threads of a
//! real one. Its time goes on meanwhile, and what arrives for it waits.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::context::Rng;

tokio::task_local! {
    /// The process that the present task belongs to.
    static PROCESS: Process;
}

/// What the tasks of one node have in common; clones share it.
#[derive(Clone)]
pub(crate) struct Process(Arc<Mutex<State>>);

struct State {
    random: Rng,
    is_held: bool,
    /// Of tasks that had something to do meanwhile; each once.
    waiting: Vec<Waker>,
}

impl Process {
    pub(crate) fn new(random: Rng) -> Self {
        Process(Arc::new(Mutex::new(State {
            random,
            is_held: false,
            waiting: Vec::new(),
        })))
    }

    /// 64 random bits.
    pub(super) fn random(&self) -> u64 {
        self.state().random.next_u64()
    }

    /// That of the present task, if it has one.
    pub(crate) fn of_task() -> Option<Process> {
        PROCESS.try_with(Clone::clone).ok()
    }

    /// Runs a future as one of this process, and what it spawns by [`spawn`](super::spawn) with it.
    pub(crate) async fn run<F: Future>(self, future: F) -> F::Output {
        let process = self.clone();
        let held = async move {
            let mut future = pin!(future);
            let run = |cx: &mut Context<'_>| {
                if process.holds(cx) {
                    return Poll::Pending;
                }
                future.as_mut().poll(cx)
            };
            poll_fn(run).await
        };
        PROCESS.scope(self, held).await
    }

    /// Lets none of its tasks run any more.
    pub(crate) fn hold(&self) {
        self.state().is_held = true;
    }

    /// Lets them run again.
    pub(crate) fn go_on(&self) {
        let waiting = {
            let mut state = self.state();
            state.is_held = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether a task may not run now; then it is woken later.
    fn holds(&self, cx: &Context<'_>) -> bool {
        let mut state = self.state();
        if !state.is_held {
            return false;
        }
        if !state.waiting.iter().any(|one| one.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;
    use crate::world;

    const TICK: Duration = Duration::from_millis(10);

    fn new(seed: u64) -> Process {
        Process::new(Rng::new(seed, 0))
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_held_process_has_spawned_stands_still_and_goes_on() {
        let (process, ticks) = (new(1), Arc::new(AtomicU32::new(0)));
        let counted = Arc::clone(&ticks);
        let ticking = async move {
            loop {
                sleep(TICK).await;
                counted.fetch_add(1, Ordering::Relaxed);
            }
        };
        let start = async move {
            // A task of a task.
            drop(world::spawn(async move { drop(world::spawn(ticking)) }));
        };
        process.clone().run(start).await;
        sleep(TICK * 10).await;
        let before = ticks.load(Ordering::Relaxed);
        assert!(before > 5, "{before}");
        process.hold();
        sleep(TICK * 100).await;
        assert_eq!(ticks.load(Ordering::Relaxed), before);
        process.go_on();
        sleep(TICK * 10).await;
        // The time that has passed is over: what was due in it is done once.
        let after = ticks.load(Ordering::Relaxed) - before;
        assert!((5..20).contains(&after), "{after}");
    }

    #[tokio::test(start_paused = true)]
    async fn others_are_not_held() {
        let (process, other) = (new(1), new(2));
        process.hold();
        let own = tokio::spawn(process.clone().run(async {}));
        other.run(async {}).await;
        world::spawn(async {}).await.expect("it does not panic");
        sleep(TICK).await;
        assert!(!own.is_finished());
        process.go_on();
        own.await.expect("it does not panic");
    }
}
