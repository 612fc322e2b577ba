//! What a backup says of itself.

use serde::{Deserialize, Serialize};

/// What stands at the head of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Description {
    /// The cluster it was taken from, 32 hexadecimal digits.
    pub(crate) cluster_id: String,
    pub(crate) cluster_name: String,
    /// The node it was taken from, 16 hexadecimal digits.
    pub(crate) node_id: String,
    /// The version of braft that wrote it.
    pub(crate) written_by: String,
    /// Log id of the last entry that it holds.
    pub(crate) term: u64,
    pub(crate) index: u64,
    /// Wall clock of the node when it was taken, milliseconds since 1970.
    pub(crate) taken_at_ms: u64,
    /// Log time of the last entry, milliseconds since 1970.
    pub(crate) log_time_ms: u64,
    /// The active version of each service, that of "braft" itself included.
    pub(crate) versions: std::collections::BTreeMap<String, u32>,
    /// What the snapshot consists of.
    pub(crate) parts: Vec<Part>,
    /// The length of the snapshot.
    pub(crate) snapshot_bytes: u64,
}

/// A section of the snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// `service/NAME`, or a part of braft's own.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// Of its content, 32 hexadecimal digits: equal states of a service have equal ones.
    pub(crate) digest: String,
}
