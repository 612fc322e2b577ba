//! What must not harm a cluster: strangers, copies, wrong disks, oversized and broken input.
//! Each gets a clear error, nothing is lost, and the others keep working.

mod connections;
mod discoveries;
mod disks;
mod foreign;
mod frames;
mod full_disk;
mod full_disks;
mod input;
mod join;
#[allow(dead_code)]
#[path = "../kubernetes/log.rs"]
mod log;
mod members;
mod outsider;
mod panics;
mod raw_calls;
mod repeats;
mod small_disk;
mod strangers;
mod timers;
mod tls;
mod tokens;
