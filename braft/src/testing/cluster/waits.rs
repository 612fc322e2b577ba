//! Waiting for a cluster to get somewhere.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use super::{Cluster, TestNode};
use crate::raft::Role;
use crate::service::Service;
use crate::settings::Settings;
use crate::testing::{TestError, TestResult};

/// The longest a cluster may take to get somewhere. Not a deadline of the product: a test that
/// hangs says what it waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

impl<S: Service> Cluster<S> {
    /// Waits for a leader that a quorum confirms, and names it.
    ///
    /// # Errors
    /// If none appears.
    pub async fn leader(&self) -> TestResult<TestNode> {
        patiently("a leader", || async {
            for (place, node) in self.running() {
                let Some(raft) = node.core().raft() else {
                    continue;
                };
                if raft.is_leader() && raft.confirm_leadership().await.is_ok() {
                    return Some(place);
                }
            }
            None
        })
        .await
    }

    pub(super) async fn wait_for_member(&self, node: TestNode) -> TestResult {
        let added = self.node(node)?;
        patiently("the new node to be a member", || async {
            let raft = added.core().raft()?;
            let id = added.core().peers().me().node_id;
            raft.view()
                .members
                .members
                .nodes
                .contains_key(&id)
                .then_some(())
        })
        .await
    }

    /// Waits until all running nodes have applied the same log and hold the same state.
    ///
    /// # Errors
    /// If they do not get there, or if their states differ at one log index.
    pub async fn converged(&self) -> TestResult {
        let digests = patiently("all nodes at one log index", || async {
            let leader = self.leader().await.ok()?;
            let target = self
                .node(leader)
                .ok()?
                .core()
                .raft()?
                .confirm_leadership()
                .await
                .ok()?;
            let mut digests = Vec::new();
            for (place, node) in self.running() {
                let raft = node.core().raft()?;
                if raft.view().members.members.nodes.len() < self.running().len() {
                    return None;
                }
                let (applied, digest) = raft.machine().digest().ok()?;
                digests.push((applied?.1, digest, place));
            }
            let first = digests.first()?.0;
            let level = digests
                .iter()
                .all(|(index, ..)| *index == first && *index >= target);
            level.then_some(digests)
        })
        .await?;
        if digests.iter().any(|(_, digest, _)| *digest != digests[0].1) {
            return Err(TestError::from(format!("the replicas differ: {digests:?}")));
        }
        Ok(())
    }

    /// Waits until one node leads, and no other says that it does.
    pub(crate) async fn one_leads(&self) -> TestResult {
        patiently("one leader", || async {
            let leader = self.leader().await.ok()?;
            let mut others = self.running().into_iter();
            let is_alone = !others.any(|(place, node)| {
                let raft = node.core().raft();
                place != leader && raft.is_some_and(|raft| raft.is_leader())
            });
            is_alone.then_some(())
        })
        .await
    }

    /// Waits until all who vote are nodes that run, and as many of these vote as the plan of members
    /// gives a seat.
    pub(crate) async fn all_are_seated(&self) -> TestResult {
        let max_voters = usize::try_from(Settings::default().max_voters).unwrap_or(usize::MAX);
        patiently("nodes that run to take all seats of voters", || async {
            let running = self.running();
            let seats = running.len().min(max_voters);
            // The fourth waits for a fifth.
            let is_odd_one = seats > 2 && seats < max_voters && seats.is_multiple_of(2);
            let leader = self.node(self.leader().await.ok()?).ok()?;
            let members = leader.core().raft()?.view().members.members;
            let [voters] = &members.configs[..] else {
                return None;
            };
            let ids = running
                .iter()
                .map(|(_, node)| node.core().peers().me().node_id);
            let ids: BTreeSet<u64> = ids.collect();
            let is_full = voters.len() >= seats - usize::from(is_odd_one);
            (is_full && voters.is_subset(&ids)).then_some(())
        })
        .await
    }

    /// Waits until all running nodes vote.
    ///
    /// # Errors
    /// If they do not get there.
    pub async fn all_vote(&self) -> TestResult {
        patiently("all nodes to vote", || async {
            let running = self.running();
            let (_, node) = running.iter().find(|(_, node)| {
                node.core()
                    .raft()
                    .is_some_and(|raft| raft.view().role == Role::Leader)
            })?;
            let members = node.core().raft()?.view().members.members;
            let all = running
                .iter()
                .all(|(_, node)| members.is_voter(node.core().peers().me().node_id));
            (all && members.configs.len() == 1).then_some(())
        })
        .await
    }
}

/// Looks again and again until there is something to see.
pub(super) async fn patiently<T, Fut: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> Fut,
) -> TestResult<T> {
    const LOOK_EVERY: Duration = Duration::from_millis(10);
    let looking = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking)
        .await
        .map_err(|_| TestError::from(format!("waited {PATIENCE:?} in vain for {what}")))
}
