//! Checks of any service, made from the service alone.
//!
//! | file | what it holds |
//! |---|---|
//! | `invent.rs` | random arguments, from the types' own `Deserialize` |
//! | `twins.rs` | the service beside a twin that is saved and loaded before each step |

mod invent;
mod twins;

use std::marker::PhantomData;

use super::{TestError, TestResult};
use crate::service::Service;

/// Steps of a history unless [`Check::steps`] says otherwise.
const STEPS: usize = 200;
/// Histories unless [`Check::seeds`] says otherwise.
const SEEDS: u64 = 20;

/// A check of service `S` with random commands and queries. Their arguments are invented from the
/// types' own `Deserialize`, in a small domain where values collide.
///
/// ```
/// use braft::testing::{TestResult, check};
/// # use braft::raft_service;
/// # use serde::{Deserialize, Serialize};
/// # #[raft_service]
/// # #[derive(Default, Serialize, Deserialize)]
/// # pub struct Counter { value: u64 }
/// # #[raft_service]
/// # impl Counter {
/// #     pub fn add(&mut self, by: u64) -> u64 { self.value = self.value.wrapping_add(by); self.value }
/// # }
///
/// fn a_loaded_counter_counts_on() -> TestResult {
///     check::<Counter>().seeds(20).without_cluster()
/// }
/// # assert!(a_loaded_counter_counts_on().is_ok());
/// ```
pub fn check<S: Service>() -> Check<S> {
    Check {
        first_seed: 1,
        seeds: SEEDS,
        steps: STEPS,
        service: PhantomData,
    }
}

/// What [`check`] returns.
#[derive(Debug)]
#[must_use = "a check does nothing until it is run"]
pub struct Check<S> {
    first_seed: u64,
    seeds: u64,
    steps: usize,
    service: PhantomData<fn() -> S>,
}

impl<S: Service> Check<S> {
    /// How many random histories; 20 unless set.
    pub fn seeds(mut self, seeds: u64) -> Self {
        self.seeds = seeds;
        self
    }

    /// The seed of the first history; the others follow. 1 unless set.
    pub fn first_seed(mut self, seed: u64) -> Self {
        self.first_seed = seed;
        self
    }

    /// Commands and queries in one history; 200 unless set.
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Plays each history on a live service and on a twin that is saved and loaded before each
    /// step, as a snapshot does: answers and states have to be the same, byte for byte.
    ///
    /// Finds fields that are skipped, maps whose order depends on their history, types that do not
    /// read back as what was written, and calls that panic.
    ///
    /// # Errors
    /// The shortest failing history that was found, as a timeline, with its seed; or the type whose
    /// arguments cannot be invented.
    #[track_caller]
    pub fn without_cluster(self) -> TestResult {
        for seed in self.first_seed..self.first_seed.saturating_add(self.seeds) {
            match twins::play::<S>(seed, self.steps) {
                Ok(None) => {}
                Ok(Some(difference)) => return Err(TestError::of_text(difference.to_string())),
                Err(error) => return Err(TestError::of_text(error.to_string())),
            }
        }
        Ok(())
    }
}
