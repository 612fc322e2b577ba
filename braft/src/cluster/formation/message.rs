//! What nodes say to each other while no cluster binds them yet.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Proposal;
use crate::discovery::PeerAddress;

/// Most addresses one message may carry; more are left out when sending, cut when receiving.
pub(crate) const MAX_GOSSIP: usize = 64;

/// A message: who speaks, and what it says.
///
/// Carried as a unary request; an [`Action::Reply`](super::Action::Reply) to it is the response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Message {
    /// The sender, as it is at the moment of sending.
    pub(crate) sender: Hello,
    /// What it says.
    pub(crate) body: Body,
}

/// Who a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hello {
    /// Id in its data directory.
    pub(crate) node_id: u64,
    /// Name of the cluster it wants to be in; nodes of another name are strangers.
    pub(crate) cluster_name: String,
    /// Where its raft server is reached.
    pub(crate) address: PeerAddress,
    /// The cluster it belongs to; `None` for a pristine node.
    pub(crate) cluster_id: Option<u128>,
    /// How many nodes it expects to form a cluster of, if it may form one at all.
    pub(crate) expect: Option<u32>,
    /// Whether it is bound by a promise at present.
    pub(crate) promised: bool,
    /// Its [`PromiseRecord`](super::PromiseRecord)'s floor: a new attempt must be above it.
    pub(crate) floor: u64,
    /// The ids it would form a cluster of, were it asked now; empty while it sees too few.
    pub(crate) choice: BTreeSet<u64>,
    /// Addresses of nodes it has heard of lately, at most [`MAX_GOSSIP`].
    pub(crate) knows: BTreeSet<PeerAddress>,
}

/// What a message says beyond its sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Body {
    /// Who are you? Answered with [`Body::Here`].
    Probe,
    /// Answers a probe; the sender says it all.
    Here,
    /// I have promised this; promise it too, or refuse it for good. Always answered.
    Promise(Proposal),
    /// I have durably promised this.
    Promised(Proposal),
    /// This can never be completed: I, or another member of the set that told me, have durably
    /// refused it. Sent as an answer, and unasked to the other members on releasing a promise.
    Refused {
        /// What is refused.
        proposal: Proposal,
        /// Why, for the status.
        reason: Refusal,
    },
}

/// Why a proposal was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Refusal {
    /// Bound by another promise.
    #[error("it is bound to another attempt")]
    Bound,
    /// Refused or released earlier.
    #[error("it refused that attempt earlier")]
    Earlier,
    /// Sees other nodes, or expects another number of them.
    #[error("it would choose other nodes")]
    OtherChoice,
    /// Belongs to a cluster, or has found one to join.
    #[error("it has found a cluster")]
    FoundCluster,
    /// A member of the set had refused it.
    #[error("another member refused it")]
    Released,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::formation::PromiseRecord;

    /// Also of the extremes, which not every codec carries.
    #[test]
    fn messages_and_records_survive_messagepack() {
        let address: PeerAddress = "[::1]:15000".parse().expect("an address");
        let proposal = Proposal {
            members: [(0, address.clone()), (u64::MAX, address.clone())].into(),
            attempt: u64::MAX,
        };
        let sender = Hello {
            node_id: u64::MAX,
            cluster_name: "test".to_owned(),
            address: address.clone(),
            cluster_id: Some(u128::MAX),
            expect: Some(u32::MAX),
            promised: true,
            floor: u64::MAX,
            choice: [0, u64::MAX].into(),
            knows: [address].into(),
        };
        let record = PromiseRecord {
            promise: Some(proposal.clone()),
            floor: u64::MAX,
        };
        let bytes = rmp_serde::to_vec_named(&record).expect("encodes");
        let read: PromiseRecord = rmp_serde::from_slice(&bytes).expect("decodes");
        assert_eq!(read, record);
        let bodies = [
            Body::Probe,
            Body::Here,
            Body::Promise(proposal.clone()),
            Body::Promised(proposal.clone()),
            Body::Refused {
                proposal,
                reason: Refusal::OtherChoice,
            },
        ];
        for body in bodies {
            let message = Message {
                sender: sender.clone(),
                body,
            };
            let bytes = rmp_serde::to_vec_named(&message).expect("encodes");
            let read: Message = rmp_serde::from_slice(&bytes).expect("decodes");
            assert_eq!(read, message);
        }
    }
}
