//! Clusters in one process: what the runtime promises, with nodes that die, return and join.

// Services are public in life; here nothing outside could see them.
#![allow(unreachable_pub)]

mod announcing;
mod clocks;
mod distribute;
mod divergence;
mod errors;
mod events;
mod exactly_once;
mod faults;
mod golden;
mod growth;
mod grpc;
mod histories;
mod leader_work;
mod long_calls;
mod membership;
mod overload;
mod panics;
mod reads;
mod replay;
mod restart;
mod rolling;
mod services;
mod snapshots;
mod timers;
mod versions;
