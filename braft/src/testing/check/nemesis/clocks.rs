//! Clocks that drift and jump.

use super::super::invent::below;
use super::{Nemesis, name};
use crate::service::Service;
use crate::testing::TestResult;
use crate::testing::cluster::TestNode;

/// How far a wall clock jumps, either way.
const MAX_JUMP_SECONDS: u32 = 4_000;
/// How much faster or slower than others the clock of a node may run.
pub(super) const DRIFT: f64 = 0.05;

impl<S: Service> Nemesis<S> {
    /// Sets a wall clock.
    pub(super) fn jump(&mut self) -> TestResult {
        let well = self.well();
        if let Some(node) = self.one_of(&well) {
            let far = below(&mut self.rng, 2 * MAX_JUMP_SECONDS);
            let seconds = i64::from(far) - i64::from(MAX_JUMP_SECONDS);
            self.cluster.set_clock_ahead(node, seconds);
            self.note(format!(
                "the wall clock of {} is {seconds} s ahead",
                name(node)
            ));
        }
        Ok(())
    }

    /// Another rate for the clock of a node that is about to start.
    pub(super) fn drift(&mut self, node: TestNode) {
        let rates = [1.0 - DRIFT, 1.0, 1.0 + DRIFT];
        let any = rates[below(&mut self.rng, 3) as usize];
        let rate = match self.slow {
            Some(slow) if slow == node => 1.0 - DRIFT,
            Some(_) => 1.0 + DRIFT,
            None => any,
        };
        self.cluster.set_clock_rate(node, rate);
    }
}
