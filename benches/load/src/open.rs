//! Operations that begin at their time, whether or not those before have ended.
//!
//! Times count from when an operation should have begun: if the store or this program falls behind,
//! the wait is part of the time. A closed loop would begin less and call that fast.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::args::MAX_UNDER_WAY;
use crate::run::{Phase, Window};
use crate::tally::Tally;
use crate::target::Target;
use crate::workload::Workload;

/// How long the last operations may take to end when no further ones begin.
const DRAIN: Duration = Duration::from_secs(10);
/// Tallies that share the operations, so that they do not wait for each other.
const TALLIES: usize = 16;

/// Runs until the window is over; counts what should have begun within it.
pub(crate) async fn run<T: Target>(
    workload: &Arc<Workload>,
    targets: &[T],
    per_second: u64,
    window: &Arc<Window>,
) -> Tally {
    let shared = Arc::new(Arrivals {
        workload: workload.clone(),
        targets: targets.to_vec(),
        window: window.clone(),
        // A semaphore counts to less than this in 32 bits, hence the bound.
        room: Arc::new(Semaphore::new(MAX_UNDER_WAY)),
        tallies: (0..TALLIES).map(|_| Mutex::default()).collect(),
    });
    let (runtime, arrivals) = (Handle::current(), shared.clone());
    // A thread of its own sleeps to some 60 us; the runtime's timers would to a millisecond.
    let beginning = thread::spawn(move || begin_all(&runtime, &arrivals, per_second));
    let begun = tokio::task::spawn_blocking(move || beginning.join()).await;
    let begun = begun.expect("the task only waits").expect("no panic");
    let all = u32::try_from(MAX_UNDER_WAY).expect("it is small");
    let drained = tokio::time::timeout(DRAIN, shared.room.acquire_many(all)).await;
    let mut total = Tally::default();
    for tally in &shared.tallies {
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        total.merge(std::mem::take(&mut tally));
    }
    if drained.is_err() {
        let ended = total.micros.len() + total.errors;
        for _ in ended..begun {
            let text = format!("no answer within {DRAIN:?} after the window");
            total.add(DRAIN, Err(text));
        }
    }
    total
}

struct Arrivals<T> {
    workload: Arc<Workload>,
    targets: Vec<T>,
    window: Arc<Window>,
    room: Arc<Semaphore>,
    tallies: Vec<Mutex<Tally>>,
}

/// Begins operations until the window is over; says how many of them were to be measured.
fn begin_all<T: Target>(runtime: &Handle, arrivals: &Arc<Arrivals<T>>, per_second: u64) -> u64 {
    let first = Instant::now();
    let mut measured = 0;
    for number in 0.. {
        let intended = first + after(number, per_second);
        let wait = intended.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            thread::sleep(wait);
        }
        let counts = match arrivals.window.phase() {
            Phase::WarmUp => false,
            Phase::Measured => true,
            Phase::Over => break,
        };
        measured += u64::from(counts);
        arrivals.window.count();
        let Ok(permit) = arrivals.room.clone().try_acquire_owned() else {
            if counts {
                let text = format!("not begun: {MAX_UNDER_WAY} operations are under way");
                arrivals.add(number, Duration::ZERO, Err(text));
            }
            continue;
        };
        let arrivals = arrivals.clone();
        runtime.spawn(async move {
            let place = number as usize % arrivals.targets.len();
            let target = &arrivals.targets[place];
            let result = arrivals.workload.carry_out(target, number).await;
            if counts {
                arrivals.add(number, intended.elapsed(), result);
            }
            drop(permit);
        });
    }
    measured
}

impl<T> Arrivals<T> {
    fn add(&self, number: u64, took: Duration, result: Result<(), String>) {
        let tally = &self.tallies[number as usize % TALLIES];
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.add(took, result);
    }
}

/// When the n-th operation begins, after the first.
fn after(number: u64, per_second: u64) -> Duration {
    let seconds = number / per_second;
    let rest = (number % per_second) * 1_000_000_000 / per_second;
    Duration::from_secs(seconds) + Duration::from_nanos(rest)
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;
    use crate::target::Read;
    use crate::workload::Operation;

    #[test]
    fn operations_are_spread_evenly_and_do_not_drift() {
        assert_eq!(after(0, 3), Duration::ZERO);
        assert_eq!(after(1, 4), Duration::from_millis(250));
        assert_eq!(after(3_000_000_000, 3), Duration::from_secs(1_000_000_000));
    }

    /// Answers nothing until this many operations have begun.
    #[derive(Clone)]
    struct Stalled {
        begun: watch::Sender<u64>,
        window: Arc<Window>,
    }

    const STALLED: u64 = 100;

    impl Target for Stalled {
        async fn put(&self, _: &str, _: &str) -> Result<(), String> {
            self.begun.send_modify(|begun| *begun += 1);
            let mut begun = self.begun.subscribe();
            let all = begun.wait_for(|begun| *begun >= STALLED).await;
            self.window.set(Phase::Over);
            all.map(drop).map_err(|error| error.to_string())
        }

        async fn get(&self, _: &str, _: Read) -> Result<Option<usize>, String> {
            Ok(None)
        }
    }

    #[tokio::test]
    async fn a_store_that_stalls_holds_up_no_beginning_and_the_wait_counts() {
        const PER_SECOND: u64 = 1000;
        let window = Arc::new(Window::default());
        window.set(Phase::Measured);
        let workload = Arc::new(Workload {
            operation: Operation::Put,
            keys: 1,
            value: String::new(),
        });
        let store = Stalled {
            begun: watch::Sender::new(0),
            window: window.clone(),
        };
        let tally = run(&workload, &[store], PER_SECOND, &window).await;
        assert!(tally.micros.len() >= STALLED);
        assert_eq!(tally.errors, 0);
        // The first waited for the last to begin, which was not to be before its time.
        let waited = after(STALLED - 1, PER_SECOND).as_micros();
        assert!(u128::from(tally.micros.max()) >= waited);
    }
}
