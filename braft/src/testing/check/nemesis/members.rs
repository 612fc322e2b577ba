//! Snapshots, handovers, nodes that come and go for good.

use std::time::Duration;

use futures_util::FutureExt;

use super::super::invent::below;
use super::{Nemesis, name};
use crate::service::Service;
use crate::testing::TestResult;

/// How long a node tries to leave.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

impl<S: Service> Nemesis<S> {
    pub(super) async fn force_snapshot(&mut self) -> TestResult {
        let well = self.well();
        let Some(place) = self.one_of(&well) else {
            return Ok(());
        };
        let node = self.cluster.node(place)?;
        if let Some(raft) = node.core().raft()
            && raft.snapshot().await.is_ok()
        {
            self.note(format!("{} writes a snapshot", name(place)));
        }
        Ok(())
    }

    /// The leader hands over; every other time it hears nobody from then on, so that it does not learn
    /// who leads instead.
    pub(super) async fn hand_over(&mut self) -> TestResult {
        let (Some(leader), well) = (self.leader(), self.well()) else {
            return Ok(());
        };
        let Some(heir) = self.one_of(&well) else {
            return Ok(());
        };
        let id = self.cluster.node(heir)?.core().peers().me().node_id;
        let leading = self.cluster.node(leader)?;
        if leader != heir && below(&mut self.aimed, 2) == 0 {
            self.deafen(leader);
        }
        if let Some(raft) = leading.core().raft()
            && raft.transfer_leader(id).await.is_ok()
        {
            let (leader, heir) = (name(leader), name(heir));
            self.note(format!("{leader} hands leadership to {heir}"));
        }
        Ok(())
    }

    pub(super) async fn join(&mut self) -> TestResult {
        self.joined += 1;
        self.note("a node with an empty disk asks to join".to_owned());
        let node = self.cluster.add_node().boxed().await?;
        self.note(format!("{} is a member", name(node)));
        Ok(())
    }

    /// A node leaves for good; another one comes in its place.
    pub(super) async fn leave(&mut self) -> TestResult {
        let Some(place) = self.dispensable() else {
            return self.hand_over().await;
        };
        self.note(format!("{} leaves", name(place)));
        let node = self.cluster.node(place)?;
        if let Err(error) = node.leave(LEAVE_WITHIN).boxed().await {
            self.note(format!("{} stays: {error}", name(place)));
            return Ok(());
        }
        drop(node);
        let down = self.cluster.kill(place).boxed().await?;
        (self.disks)(place).wipe();
        self.note(format!("{} has left, a new one comes", name(place)));
        self.start_again(down).await
    }
}
