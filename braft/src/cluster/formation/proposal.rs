//! A proposed cluster, and what a node durably remembers about proposals.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::siphash::siphash_2_4_128;
use crate::{cluster::identity::DisplayNode, discovery::PeerAddress};

/// Key of the hash: the bytes `braft cluster 01`. Changing it changes every cluster id.
const CLUSTER_ID_KEY: [u64; 2] = [
    u64::from_le_bytes(*b"braft cl"),
    u64::from_le_bytes(*b"uster 01"),
];

/// Initial members by node id, with the address each of them is reached at.
///
/// The address is part of the proposal because it is part of the first log entry, and that entry
/// must be the same wherever it is written.
pub(crate) type MemberSet = BTreeMap<u64, PeerAddress>;

/// A set of nodes to form a cluster of, and which attempt at it this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proposal {
    /// The initial voters.
    pub(crate) members: MemberSet,
    /// Grows with each proposal a node takes part in, like a ballot number.
    pub(crate) attempt: u64,
}

/// What a node keeps on disk about formation; written as a whole, synced before it is relied on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PromiseRecord {
    /// The one proposal this node is bound to.
    pub(crate) promise: Option<Proposal>,
    /// No proposal with this attempt or a lower one will ever be promised from here on.
    pub(crate) floor: u64,
}

impl Proposal {
    /// Id of the cluster this proposal becomes: SipHash-2-4-128 over attempt and members.
    pub(crate) fn cluster_id(&self) -> u128 {
        let mut data = Vec::new();
        data.extend(self.attempt.to_le_bytes());
        data.extend((self.members.len() as u64).to_le_bytes());
        for (node_id, address) in &self.members {
            let address = address.to_string();
            data.extend(node_id.to_le_bytes());
            data.extend((address.len() as u64).to_le_bytes());
            data.extend(address.as_bytes());
        }
        siphash_2_4_128(CLUSTER_ID_KEY, &data)
    }

    /// Whether a node belongs to the set.
    pub(crate) fn contains(&self, node_id: u64) -> bool {
        self.members.contains_key(&node_id)
    }

    /// How many members come before this one when someone must act; 0 for the lowest id.
    pub(crate) fn rank(&self, node_id: u64) -> u32 {
        u32::try_from(self.members.range(..node_id).count()).unwrap_or(u32::MAX)
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt {} of", self.attempt)?;
        for (node_id, address) in &self.members {
            write!(f, " {} ({address})", DisplayNode(*node_id))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposal(attempt: u64, members: &[(u64, &str)]) -> Proposal {
        let address = |text: &str| text.parse().expect("an address");
        let members = members
            .iter()
            .map(|(id, text)| (*id, address(text)))
            .collect();
        Proposal { members, attempt }
    }

    #[test]
    fn cluster_id_is_the_same_in_every_build() {
        let id = proposal(1, &[(1, "a:1"), (2, "b:2")]).cluster_id();
        assert_eq!(format!("{id:032x}"), "4c061f099511ec3838adaed81987893e");
    }

    #[test]
    fn cluster_id_depends_on_each_part() {
        let ids = [
            proposal(1, &[(1, "a:1"), (2, "b:2")]).cluster_id(),
            proposal(2, &[(1, "a:1"), (2, "b:2")]).cluster_id(),
            proposal(1, &[(1, "a:1"), (3, "b:2")]).cluster_id(),
            proposal(1, &[(1, "a:1"), (2, "b:3")]).cluster_id(),
            proposal(1, &[(1, "a:1")]).cluster_id(),
        ];
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }
}
