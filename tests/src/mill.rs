//! A service whose calls cost what they are told to.

use braft::raft_service;
use serde::{Deserialize, Serialize};

/// Grinds numbers.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Mill {
    ground: u64,
    flour: u64,
    /// What the last write carried: bytes on their way through log and network, kept once.
    ballast: String,
}

/// About a nanosecond for each round, one after the other.
fn grind(grain: u64, rounds: u32) -> u64 {
    (0..rounds).fold(grain, |flour, round| {
        (flour ^ u64::from(round)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

#[raft_service]
impl Mill {
    /// Grinds on; says how often it has by now.
    pub fn grind(&mut self, rounds: u32, ballast: &str) -> u64 {
        ballast.clone_into(&mut self.ballast);
        self.flour = grind(self.flour, rounds);
        self.ground += 1;
        self.ground
    }

    /// What grinding on would make of it.
    pub fn taste(&self, rounds: u32) -> u64 {
        grind(self.flour, rounds)
    }

    /// How often it has ground.
    pub fn ground(&self) -> u64 {
        self.ground
    }
}
