//! The place where a node's raft appears once the node is in a cluster.

use std::sync::OnceLock;

use super::RaftNode;

/// Empty until the node has formed or joined a cluster; then filled for good.
///
/// The gRPC server is up before that: forming and joining need it.
pub(crate) struct RaftSlot {
    raft: OnceLock<RaftNode>,
    contacted: Box<dyn Fn(u128) + Send + Sync>,
}

impl RaftSlot {
    /// `contacted` is told the cluster whose leader speaks to this node while the slot is empty.
    pub(crate) fn new(contacted: impl Fn(u128) + Send + Sync + 'static) -> Self {
        RaftSlot {
            raft: OnceLock::new(),
            contacted: Box::new(contacted),
        }
    }

    pub(crate) fn get(&self) -> Option<&RaftNode> {
        self.raft.get()
    }

    pub(crate) fn fill(&self, raft: RaftNode) {
        assert!(self.raft.set(raft).is_ok(), "a node starts raft once");
    }

    pub(super) fn contacted(&self, cluster_id: u128) {
        (self.contacted)(cluster_id);
    }
}
