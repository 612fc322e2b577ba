//! All that reads what comes from a disk, a peer, a client or a user, for tests that feed it anything.
//!
//! | file | what it holds |
//! |---|---|
//! | `disk.rs` | logs, votes, snapshots |
//! | `wire.rs` | messages between processes, log entries, MessagePack |
//! | `text.rs` | configuration, mDNS records, files of tokens |
//!
//! Greetings of members are read where they are heard, in `access`.

mod disk;
#[cfg(feature = "mdns")]
mod records;
mod text;
mod wire;

use crate::access;

/// Something that reads bytes, and must neither panic nor take much memory, whatever they are.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What it reads.
    pub name: &'static str,
    /// Sound input, of which there is more to be made by small changes.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Reads; whether it was sound.
    pub read: fn(&[u8]) -> bool,
}

/// Everything that reads.
pub fn targets() -> Vec<Target> {
    Vec::from([
        Target {
            name: "log segment",
            seeds: disk::segments,
            read: disk::read_segment,
        },
        Target {
            name: "vote",
            seeds: disk::votes,
            read: disk::read_vote,
        },
        Target {
            name: "snapshot",
            seeds: disk::snapshots,
            read: disk::read_snapshot,
        },
        Target {
            name: "snapshot whose sums are right",
            seeds: disk::snapshots,
            read: disk::read_summed_snapshot,
        },
        Target {
            name: "snapshot from a peer",
            seeds: disk::snapshots,
            read: disk::receive_snapshot,
        },
        Target {
            name: "log entry",
            seeds: wire::entries,
            read: wire::read_entry,
        },
        Target {
            name: "messages of peers",
            seeds: wire::messages,
            read: wire::read_messages,
        },
        Target {
            name: "frames of clients",
            seeds: wire::frames,
            read: wire::read_frames,
        },
        Target {
            name: "formation message",
            seeds: wire::formations,
            read: wire::read_formation,
        },
        Target {
            name: "MessagePack of a user's types",
            seeds: wire::values,
            read: wire::read_value,
        },
        Target {
            name: "environment",
            seeds: text::environments,
            read: text::read_environment,
        },
        Target {
            name: "configuration file",
            seeds: text::files,
            read: text::read_file,
        },
        Target {
            name: "file of tokens",
            seeds: text::tokens,
            read: text::read_tokens,
        },
        Target {
            name: "greeting of a member",
            seeds: access::fuzz::greetings,
            read: access::fuzz::read_greeting,
        },
        #[cfg(feature = "mdns")]
        Target {
            name: "mDNS record",
            seeds: records::records,
            read: records::read_record,
        },
    ])
}
