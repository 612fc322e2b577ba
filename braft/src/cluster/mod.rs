//! How nodes become one cluster and how its members change.
//!
//! | file | what it holds |
//! |---|---|
//! | `identity.rs` | how node and cluster ids are written |
//! | `formation/` | the promise protocol by which pristine nodes form a cluster or join one |
//! | `membership/` | which change of members comes next, and why |
//! | `ports.rs`, `monitor.rs` | disk, network and clock for the two |
//!
//! `formation/` and `membership/` are pure: nothing in them does I/O, reads a clock or draws random
//! numbers. The drivers feed events and the time, and carry out what comes back.

pub(crate) mod formation;
pub(crate) mod identity;
#[allow(dead_code)] // removals are planned and tested, and not carried out yet
pub(crate) mod membership;
pub(crate) mod monitor;
pub(crate) mod ports;
