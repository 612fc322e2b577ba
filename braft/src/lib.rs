//! braft turns an ordinary struct into a replicated, durable, highly available service.
//!
//! # Map of the crate
//! Imports only go down the floors.
//!
//! | floor | modules |
//! |---|---|
//! | 5 | `run`: start, await the signal, drain, stop |
//! | 4 | `config`, `node`, `server` |
//! | 3 | `cluster`, `client`, `discovery` |
//! | 2 | `raft`: the only place that names openraft |
//! | 1 | `service`, `context`, `session`, `settings`, `storage`, `wire` |
//! | 0 | `error`, `codec` |

mod client;
mod cluster;
mod codec;
mod config;
mod context;
mod discovery;
mod error;
mod node;
mod raft;
mod run;
mod server;
mod service;
mod session;
mod settings;
mod storage;
#[cfg(feature = "testing")]
pub mod testing;
mod wire;
