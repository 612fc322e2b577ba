//! What a node is waiting for, in words.

use std::time::Duration;

use super::{Formation, Proposal, machine::Phase};
use crate::cluster::identity::{DisplayCluster, DisplayNode};

impl Formation {
    /// One sentence for status and log.
    pub(super) fn status(&self, now: Duration) -> String {
        if let Some((address, _)) = self.double.as_ref().filter(|_| self.is_doubled(now)) {
            let own = DisplayNode(self.identity.node_id);
            return format!(
                "another node at {address} has this node's id {own}: stop it, and delete the data \
                 directory that was copied"
            );
        }
        match self.phase {
            Phase::Starting { cluster_id } => {
                format!("starting in cluster {}", DisplayCluster(cluster_id))
            }
            Phase::Member { cluster_id, .. } => self.member_status(cluster_id, now),
            Phase::Pristine => match (&self.record.promise, self.fresh_member(now)) {
                (Some(promise), _) => self.bound_status(promise),
                (None, Some((cluster_id, peer))) => format!(
                    "asking {} to be taken into cluster {}",
                    peer.hello.address,
                    DisplayCluster(cluster_id)
                ),
                (None, None) => self.waiting_status(now),
            },
        }
    }

    fn member_status(&self, cluster_id: u128, now: Duration) -> String {
        let own = DisplayCluster(cluster_id);
        let fresh = self.view.fresh(self.timing.fresh, now);
        let mut others =
            fresh.filter(|peer| peer.hello.cluster_id.is_some_and(|id| id != cluster_id));
        match others.next() {
            None => format!("member of cluster {own}"),
            Some(peer) => format!(
                "member of cluster {own}, but {} belongs to another cluster named {:?}: clusters \
                 never merge, so stop one of them and give its nodes empty data directories",
                peer.hello.address, self.identity.cluster_name
            ),
        }
    }

    fn bound_status(&self, promise: &Proposal) -> String {
        let cluster = DisplayCluster(promise.cluster_id());
        if self.evidence.complete_since.is_some() {
            return format!("agreed on cluster {cluster}, waiting for its first member to start");
        }
        let missing: Vec<String> = promise
            .members
            .iter()
            .filter(|(node_id, _)| !self.evidence.promised.contains(node_id))
            .map(|(node_id, address)| format!("{} at {address}", DisplayNode(*node_id)))
            .collect();
        format!(
            "promised to form cluster {cluster}, waiting for the promise of {}; if that node's disk \
             is lost for good, empty this node's data directory too (nothing is stored in it yet)",
            missing.join(", ")
        )
    }

    fn waiting_status(&self, now: Duration) -> String {
        let seen = self.candidates(now).count() + 1;
        let Some(expect) = self.identity.expect else {
            return format!(
                "sees {seen} pristine nodes and no cluster to join: set BRAFT_EXPECT to the number \
                 of nodes that are to form one (1 = run alone)"
            );
        };
        let elsewhere = self
            .view
            .fresh(self.timing.fresh, now)
            .filter(|peer| peer.hello.expect != self.identity.expect)
            .count();
        let mut text = format!("sees {seen} of the {expect} pristine nodes that form a cluster");
        if elsewhere > 0 {
            text += &format!(
                "; {elsewhere} more expect another number: set BRAFT_EXPECT alike everywhere"
            );
        }
        text
    }
}
