//! Seeds for the random numbers of log entries.

use std::sync::{Mutex, PoisonError};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::world;

/// Draws a seed for each entry, keyed once by the operating system: asking it each time costs a
/// system call an entry.
pub(super) struct Seeds(Mutex<ChaCha8Rng>);

impl Seeds {
    pub(super) fn new() -> Self {
        let mut key = [0; 32];
        for part in key.chunks_exact_mut(8) {
            let random = world::random().expect("the operating system gives random numbers");
            part.copy_from_slice(&random.to_le_bytes());
        }
        Seeds(Mutex::new(ChaCha8Rng::from_seed(key)))
    }

    pub(super) fn draw(&self) -> u64 {
        let mut seeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seeds.next_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_of_them_have_nothing_in_common() {
        let (ours, theirs) = (Seeds::new(), Seeds::new());
        let ours: Vec<u64> = (0..8).map(|_| ours.draw()).collect();
        assert!((0..8).all(|_| !ours.contains(&theirs.draw())));
    }
}
