//! What travels between processes: the compiled protocol and its conversions.
//!
//! The code below `generated/` is written by `cargo run -p proto-gen` from `proto/`. Nothing that
//! came from the wire is trusted before it went through [`convert`].

pub(crate) mod convert;
pub(crate) mod events;

/// The messages and services of `proto/braft/v1`.
// Only what a node or a client needs is used; the rest comes with the protocol.
#[allow(
    clippy::all,
    clippy::pedantic,
    dead_code,
    missing_docs,
    unreachable_pub
)]
#[rustfmt::skip]
#[path = "generated/braft.v1.rs"]
pub(crate) mod v1;

/// The messages and the service of `proto/braft/admin/v1`.
#[allow(
    clippy::all,
    clippy::pedantic,
    dead_code,
    missing_docs,
    unreachable_pub
)]
#[rustfmt::skip]
#[path = "generated/braft.admin.v1.rs"]
pub(crate) mod admin;

/// The protocol described for gRPC reflection: an encoded `FileDescriptorSet`.
pub(crate) const DESCRIPTORS: &[u8] = include_bytes!("generated/braft.fds.bin");

/// The largest gRPC message taken in or sent by either side of a `Calls` stream.
pub(crate) const MAX_FRAME_BYTES: usize = 8 << 20;

/// A frame takes in no further call or answer once it holds this much. With the largest call or
/// answer on top it stays well below [`MAX_FRAME_BYTES`].
pub(crate) const FRAME_TARGET_BYTES: usize = 1 << 20;

/// The most calls or answers in one frame: keeps the decoder's work per frame small, so that
/// heartbeats are never waiting behind it.
pub(crate) const MAX_FRAME_ITEMS: usize = 1024;

/// The most calls under way on one stream; the client waits above it, the server refuses.
pub(crate) const MAX_CALLS_PER_STREAM: usize = 4096;

const _: () = {
    use crate::request::{MAX_ANSWER_BYTES, MAX_COMMAND_BYTES};
    // Room for what surrounds the payloads of a full frame.
    let overhead = MAX_FRAME_ITEMS * 1024;
    assert!(FRAME_TARGET_BYTES + MAX_COMMAND_BYTES + overhead <= MAX_FRAME_BYTES);
    assert!(FRAME_TARGET_BYTES + MAX_ANSWER_BYTES + overhead <= MAX_FRAME_BYTES);
};
