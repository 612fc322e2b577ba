//! Whole clusters in one thread, on a network, disks and a clock that are made up.
//!
//! All code of a node is the real one. Time does not pass while there is something to do, and jumps
//! where there is not; so does a cluster of many seconds run in a fraction of one.

mod network;

use tokio::runtime::Builder;

pub(crate) use self::network::Network;
use crate::context::Rng;
use crate::testing::TestResult;
use crate::world::simulated;

/// A stream of random numbers that nothing else draws from.
const RELAYS: u32 = u32::MAX - 5;

/// Whether raft's tasks run one after the other for lone commands: in half of the simulations.
pub(crate) fn with_relays(seed: u64) -> bool {
    Rng::new(seed, RELAYS).below(2) == 0
}

/// Plays a simulation on this thread.
pub(crate) fn simulate<T, Fut: Future<Output = TestResult<T>>>(
    seed: u64,
    play: impl FnOnce(Network) -> Fut,
) -> TestResult<T> {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true);
    #[cfg(tokio_unstable)]
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_le_bytes()));
    let runtime = builder.build()?;
    let result = runtime.block_on(async {
        simulated::begin(seed, with_relays(seed));
        play(Network::new(seed)).await
    });
    // What is left of the nodes goes while the world is still the simulated one.
    drop(runtime);
    simulated::end();
    result
}
