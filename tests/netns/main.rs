//! Nodes on several hosts, each a network namespace, with a bridge between them.
//!
//! Where namespaces cannot be made, each test prints a line that says so, and passes.

mod cluster;
mod cuts;
mod formation;
mod names;
