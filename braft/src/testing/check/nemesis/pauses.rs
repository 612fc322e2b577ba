//! Nodes that stand still.

use super::super::invent::below;
use super::{Lasting, Nemesis, name};
use crate::service::Service;
use crate::testing::TestResult;

impl<S: Service> Nemesis<S> {
    /// A node stands still, every other time the leader: it does nothing, and what arrives for it waits.
    /// Time goes on meanwhile, so it learns of all of that at once.
    pub(super) fn pause(&mut self) -> TestResult {
        let well = self.well();
        let any = self.one_of(&well);
        let leader = self.leader().filter(|leader| well.contains(leader));
        let chosen = leader.filter(|_| below(&mut self.aimed, 2) == 0);
        if let Some(node) = chosen.or(any) {
            let role = if leader == Some(node) {
                ", which leads,"
            } else {
                ""
            };
            self.cluster.hold(node);
            self.note(format!("{}{role} stands still", name(node)));
            self.lasting.push(Lasting::Paused(node));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::stage::play;
    use super::*;
    use crate::raft::Role;
    use crate::testing::{TestError, cluster::TestNode};

    #[test]
    fn a_leader_that_stands_still_is_succeeded_and_follows_once_it_goes_on() {
        play(4, async |mut stage| {
            let old = stage.cluster.leader().await?;
            while !stage
                .nemesis
                .lasting
                .iter()
                .any(|fault| matches!(fault, Lasting::Paused(node) if *node == old))
            {
                stage.nemesis.relent().await?;
                stage.nemesis.pause()?;
            }
            let term = |node: TestNode| {
                let node = stage.cluster.node(node)?;
                let raft = node.core().raft().ok_or("it has no raft")?;
                Ok::<_, TestError>(raft.view().term)
            };
            let before = term(old)?;
            // It is asked nothing: it would not answer.
            let others: Vec<_> = (0..3).map(TestNode).filter(|node| *node != old).collect();
            let leads = |node: &TestNode| {
                let node = stage.cluster.node(*node).ok()?;
                node.core()
                    .raft()
                    .map(|raft| raft.view().role == Role::Leader)
            };
            let succeeded = || others.iter().any(|node| leads(node) == Some(true));
            stage
                .cluster
                .eventually("another leader", succeeded)
                .await?;
            tokio::time::sleep(Duration::from_secs(8)).await;
            // It knows of nothing yet, and its token is over all the same.
            assert_eq!((leads(&old), term(old)?), (Some(true), before));
            let held = stage.cluster.node(old)?;
            let token = held
                .core()
                .raft()
                .and_then(|raft| raft.lease().tokens().borrow().clone());
            assert!(token.is_none_or(|token| !token.is_valid()));
            stage.nemesis.relent().await?;
            let follows = || leads(&old) == Some(false);
            stage
                .cluster
                .eventually("the old leader to follow", follows)
                .await?;
            stage.cluster.converged().await
        });
    }
}
