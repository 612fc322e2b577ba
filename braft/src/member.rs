//! The members of a cluster, as the log and the snapshot hold them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// What is committed about one node. The address is a hint: the transport dials the address that
/// last completed a handshake for this node's id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeInfo {
    /// Readable name: host name and port, or as configured.
    pub(crate) name: String,
    /// Whether the name was configured. One that was made up may be borne by two nodes.
    pub(crate) name_is_chosen: bool,
    /// Where its peers reach it: "host:port".
    pub(crate) address: String,
    /// Where its HTTP is: "host:port"; empty without HTTP.
    pub(crate) http_address: String,
}

impl fmt::Display for NodeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.name, self.address)
    }
}

/// Why a node is no longer a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Removal {
    /// It was silent too long; it may come back.
    Dead,
    /// Another node took its place; it may come back.
    Superseded,
    /// It left or an operator removed it; it stays out.
    Operator,
}

/// Who votes and who listens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Members {
    /// The voter sets; two while the membership changes, otherwise one.
    pub(crate) configs: Vec<BTreeSet<u64>>,
    /// Every member by node id, learners too.
    pub(crate) nodes: BTreeMap<u64, NodeInfo>,
}

/// A membership and the log id (term, index) of the entry that holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredMembers {
    pub(crate) log_id: Option<(u64, u64)>,
    pub(crate) members: Members,
}

impl Members {
    pub(crate) fn is_voter(&self, id: u64) -> bool {
        self.configs.iter().any(|config| config.contains(&id))
    }

    pub(crate) fn voters(&self) -> BTreeSet<u64> {
        self.configs.iter().flatten().copied().collect()
    }
}

/// A node id as people see it.
pub(crate) fn display_id(id: u64) -> String {
    format!("{id:016x}")
}
