//! How nodes become one cluster and how its members change.
//!
//! | file | what it holds |
//! |---|---|
//! | `identity.rs` | how node and cluster ids are written |
//! | `formation/` | the promise protocol by which pristine nodes form a cluster or join one |
//! | `membership/` | which change of members comes next, and why |
//!
//! Both are pure: nothing in here does I/O, reads a clock or draws random numbers. A driver feeds
//! events and the time, and carries out what comes back.

#[allow(dead_code)] // called by the node once it is wired up
pub(crate) mod formation;
pub(crate) mod identity;
#[allow(dead_code)] // called by the leader's monitor once it is wired up
pub(crate) mod membership;
