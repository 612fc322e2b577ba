//! Parts of a node by themselves, for micro-benchmarks. Nothing here is made to be used.
//!
//! | file | what it holds |
//! |---|---|
//! | `codec.rs` | MessagePack, log entries, digests |
//! | `frames.rs` | what goes over the wire, from clients and between nodes |
//! | `log.rs` | the write-ahead log on a disk |
//! | `replica.rs` | a service by itself, and the state machine it is a part of |
//! | `sessions.rs` | the session table |
//! | `snapshots.rs` | a state written to a snapshot file, and read from one that comes in |
//! | `settings.rs` | settings of a running cluster |
//!
//! # Panics
//! All of it, if something fails that has no reason to.

mod codec;
mod frames;
mod log;
mod replica;
mod sessions;
mod settings;
mod snapshots;

pub use codec::{decode, digest, encode, read_entry, write_entry};
pub use frames::{read_answers, read_append, read_calls, write_answers, write_append, write_calls};
pub use log::Log;
pub use replica::{Replica, Single};
pub use sessions::Table;
pub use settings::change_settings;
pub use snapshots::Snapshots;
