//! Nodes that begin with an older binary and get a newer one, whatever else happens.

use futures_util::FutureExt;

use super::super::invent::below;
use super::{Nemesis, name};
use crate::service::Service;
use crate::testing::TestResult;
use crate::testing::cluster::{Down, TestNode};

/// What a node says whose binary is below an active version.
const TOO_OLD: &str = "start a binary with version";

impl<S: Service> Nemesis<S> {
    /// The first nodes have an older binary.
    pub(in super::super) fn upgrading(mut self, nodes: usize) -> Self {
        self.older = (0..nodes).map(TestNode).collect();
        self
    }

    /// Whether a node stopped because the others are further than its binary.
    pub(super) fn is_too_old(&self, node: TestNode, why: &str) -> bool {
        self.older.contains(&node) && why.contains(TOO_OLD)
    }

    /// Starts a node that is down, by turns with the binary that it had and with the new one.
    pub(super) async fn boot(&mut self, down: Down) -> TestResult {
        if self.older.contains(&down.node()) && below(&mut self.rng, 2) == 0 {
            return self.upgrade(down).await;
        }
        self.on_a_sound_disk(down.node());
        self.cluster.restart(down).boxed().await
    }

    /// A node does not start where it cannot write.
    fn on_a_sound_disk(&mut self, node: TestNode) {
        (self.disks)(node).heal();
        self.been_full.remove(&node);
    }

    async fn upgrade(&mut self, down: Down) -> TestResult {
        let node = down.node();
        self.on_a_sound_disk(node);
        self.older.remove(&node);
        self.note(format!("{} has a newer binary", name(node)));
        self.cluster.restart_as::<S>(down).boxed().await
    }

    /// A node is stopped in order, and started again with the newer binary.
    pub(super) async fn upgrade_one(&mut self) -> TestResult {
        let well = self.well();
        let older: Vec<_> = well
            .into_iter()
            .filter(|node| self.older.contains(node))
            .collect();
        let Some(node) = self.one_of(&older) else {
            return self.cut_power(None).await;
        };
        let down = self.cluster.shut_down(node).boxed().await?;
        self.upgrade(down).await
    }

    /// All nodes have the newer binary in the end.
    pub(super) async fn upgrade_all(&mut self) -> TestResult {
        while let Some(node) = self.older.first().copied() {
            let down = self.cluster.shut_down(node).boxed().await?;
            self.upgrade(down).await?;
        }
        Ok(())
    }
}
