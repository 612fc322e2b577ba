//! Nodes as processes, killed as a crash or a power cut kills them.

mod crash;
mod environment;
mod growth;
mod histories;
mod nodes;
mod paused;
mod stale;
mod writers;
