//! What is measured of a store, one file for each part.
//!
//! | file | what it holds |
//! |---|---|
//! | `load.rs` | clients that read and write |
//! | `floor.rs` | what one write cannot be quicker than on this machine |
//! | `start.rs` | from empty disks to three nodes that serve; a follower that comes back |
//! | `failover.rs` | a leader that is killed, or falls silent, under load |
//! | `memory.rs` | memory and disk after many writes |

pub(crate) mod failover;
pub(crate) mod floor;
pub(crate) mod load;
pub(crate) mod memory;
pub(crate) mod start;

use std::time::Duration;

use clap::ValueEnum;
pub(crate) use failover::{Failover, Loss};
pub(crate) use floor::Floor;
pub(crate) use memory::{Filling, Memory};
use serde::Serialize;
pub(crate) use start::Start;

/// A part of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Part {
    /// Clients that read and write
    Load,
    /// From empty disks to three nodes that serve; a follower that comes back
    Start,
    /// A leader that is killed, or falls silent, under load
    Failover,
    /// Memory and disk after many writes
    Memory,
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
