//! Clusters in one process: what the runtime promises, with nodes that die, return and join.

mod exactly_once;
mod faults;
mod growth;
mod restart;
mod services;
