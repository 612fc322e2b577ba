//! What the machine gives that a simulation has to give instead: random numbers, the wall clock,
//! threads for work that blocks, tasks that can be held.

use std::future::Future;
use std::io;
use std::time::SystemTime;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinHandle;

#[cfg(feature = "testing")]
pub(crate) mod process;

/// 64 random bits.
///
/// # Errors
/// If the operating system has none.
pub(crate) fn random() -> io::Result<u64> {
    #[cfg(feature = "testing")]
    if let Some(bits) = simulated::with(|world| match process::Process::of_task() {
        Some(process) => process.random(),
        None => world.random.next_u64(),
    }) {
        return Ok(bits);
    }
    Ok(getrandom::u64()?)
}

/// The time of day.
pub(crate) fn wall_clock() -> SystemTime {
    #[cfg(feature = "testing")]
    if let Some(now) = simulated::with(|world| world.start + world.began.elapsed()) {
        return now;
    }
    SystemTime::now()
}

/// Runs work that may block for long, on a thread where it may.
///
/// # Errors
/// If it panicked.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    if is_simulated() {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await
}

/// Runs work that may block for long in this thread, which the runtime is told of where it has others.
pub(crate) fn blocking_here<T>(work: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
    if matches!(flavor, Ok(RuntimeFlavor::MultiThread)) {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}

/// Begins a task of the node that the present task belongs to.
pub(crate) fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(in_process(future))
}

/// A future that stands still when the node does that the present task belongs to, where that is
/// simulated.
#[cfg(feature = "testing")]
pub(crate) fn in_process<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let process = process::Process::of_task();
    async move {
        match process {
            Some(process) => process.run(future).await,
            None => future.await,
        }
    }
}

/// Only simulated nodes stand still.
#[cfg(not(feature = "testing"))]
pub(crate) fn in_process<F: Future>(future: F) -> F {
    future
}

/// Whether a simulation runs raft's tasks one after the other for each lone command, as a node alone on
/// a runtime with several threads does.
pub(crate) fn relays() -> bool {
    #[cfg(feature = "testing")]
    if let Some(relays) = simulated::with(|world| world.relays) {
        return relays;
    }
    false
}

/// Whether this thread plays a simulation: then nothing may happen on another one.
pub(crate) fn is_simulated() -> bool {
    #[cfg(feature = "testing")]
    if simulated::with(|_| ()).is_some() {
        return true;
    }
    false
}

#[cfg(feature = "testing")]
pub(crate) mod simulated {
    //! The world of a simulation: that of one thread.

    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::time::{Duration, SystemTime};

    use tokio::time::Instant;

    use super::process::Process;
    use crate::context::Rng;

    /// Streams of random numbers: of what belongs to no node; and of each node, by its place.
    const NOBODY: u32 = u32::MAX - 1;
    const NODES: u32 = 3 << 30;

    /// 2000-01-01 00:00 UTC, when simulations begin.
    const YEAR_2000: Duration = Duration::from_secs(946_684_800);

    /// Of the thread that plays a simulation.
    pub(crate) struct World {
        seed: u64,
        pub(super) random: Rng,
        /// How often each node was started.
        lives: BTreeMap<u32, u64>,
        pub(super) start: SystemTime,
        pub(super) began: Instant,
        pub(super) relays: bool,
    }

    thread_local! {
        static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
    }

    /// Lets this thread play a simulation. To be called within its runtime.
    pub(crate) fn begin(seed: u64, relays: bool) {
        WORLD.set(Some(World {
            seed,
            random: Rng::new(seed, NOBODY),
            lives: BTreeMap::new(),
            start: SystemTime::UNIX_EPOCH + YEAR_2000,
            began: Instant::now(),
            relays,
        }));
    }

    /// A new process of a node, with random numbers of its own: what others draw shifts none of them.
    pub(crate) fn process(node: usize) -> Option<Process> {
        let node = u32::try_from(node).unwrap_or_default();
        with(|world| {
            let life = world.lives.entry(node).or_default();
            *life += 1;
            Process::new(Rng::new(world.seed.rotate_left(32) ^ *life, NODES + node))
        })
    }

    /// Ends it.
    pub(crate) fn end() {
        WORLD.set(None);
    }

    pub(super) fn with<T>(look: impl FnOnce(&mut World) -> T) -> Option<T> {
        WORLD.with_borrow_mut(|world| world.as_mut().map(look))
    }
}
