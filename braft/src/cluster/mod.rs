//! How nodes become one cluster and how its members change.
//!
//! | file | what it holds |
//! |---|---|
//! | `identity.rs` | how node and cluster ids are written |
//! | `formation/` | the promise protocol by which pristine nodes form a cluster or join one |
//! | `membership/` | which change of members comes next, and why |
//! | `ports.rs`, `monitor.rs`, `observation.rs` | disk, network and clock for the two |
//! | `joining.rs` | asking the leader to be taken in, or to be let go |
//! | `decisions.rs` | what was decided about the members, for those who watch |
//! | `requests.rs` | what nodes ask of the leader: to be taken in, to be removed |
//! | `introductions.rs` | members that look for each other when addresses have changed |
//! | `settings.rs` | the settings a new cluster begins with |
//! | `versions.rs` | which versions of services are active |
//!
//! `formation/` and `membership/` are pure: nothing in them does I/O, reads a clock or draws random
//! numbers. The drivers feed events and the time, and carry out what comes back.

pub(crate) mod decisions;
pub(crate) mod formation;
pub(crate) mod identity;
pub(crate) mod introductions;
pub(crate) mod joining;
pub(crate) mod membership;
pub(crate) mod monitor;
pub(crate) mod observation;
pub(crate) mod ports;
pub(crate) mod requests;
pub(crate) mod settings;
pub(crate) mod versions;
