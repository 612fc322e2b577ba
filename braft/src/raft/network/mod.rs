//! The raft network: dialing peers, and raft messages over gRPC in both directions.

mod acks;
#[cfg(feature = "testing")]
pub(crate) mod bench;
mod client;
mod convert;
mod dial;
#[cfg(feature = "testing")]
pub(crate) mod fuzz;
mod given;
mod handshake;
mod healing;
mod heartbeats;
mod held;
mod items;
mod peers;
mod service;
mod snapshot;
mod streams;
mod walls;

pub(crate) use acks::Acks;
pub(crate) use client::Network;
pub(crate) use dial::is_no_entry;
pub(crate) use given::Given;
#[cfg(feature = "testing")]
pub(crate) use handshake::PROTOCOL;
pub(crate) use handshake::versions_from;
pub(crate) use peers::{Identity, Peers, Progress, Timers};
pub(crate) use service::RaftService;
pub(crate) use streams::Streams;
pub(super) use walls::{Agreed, agreed};

/// The largest raft message, in bytes: an append carries about 1 MiB, or one larger entry.
pub(crate) const MAX_RAFT_MESSAGE_BYTES: usize = 16 << 20;
