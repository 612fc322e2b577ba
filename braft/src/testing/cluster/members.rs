//! Members that go, come back, and move.

use std::net::TcpListener;

use super::life::Down;
use super::waits::{PATIENCE, patiently};
use super::{Cluster, TestNode};
use crate::member::display_id;
use crate::service::Service;
use crate::status::Status;
use crate::testing::{TestError, TestResult};

impl<S: Service> Cluster<S> {
    /// The node id of a running node, as the status shows it.
    ///
    /// # Errors
    /// If it is down.
    pub fn id(&self, node: TestNode) -> TestResult<String> {
        Ok(display_id(self.node(node)?.core().peers().me().node_id))
    }

    /// Waits until the leader's status is as wanted, and gives it.
    ///
    /// # Errors
    /// If it never is.
    pub async fn status_where(
        &self,
        what: &str,
        wanted: impl Fn(&Status) -> bool,
    ) -> TestResult<Status> {
        patiently(what, || async {
            let leader = self.leader().await.ok()?;
            let status = self.node(leader).ok()?.status();
            wanted(&status).then_some(status)
        })
        .await
    }

    /// Waits until something holds.
    ///
    /// # Errors
    /// If it never does.
    pub async fn eventually(&self, what: &str, holds: impl Fn() -> bool) -> TestResult {
        patiently(what, || async { holds().then_some(()) }).await
    }

    /// Waits until no member has this id.
    ///
    /// # Errors
    /// If it stays.
    pub async fn removed(&self, id: &str) -> TestResult<Status> {
        let what = format!("{id} to be removed");
        self.status_where(&what, |status| {
            status.members.iter().all(|member| member.id != id)
        })
        .await
    }

    /// Waits until a node votes, as the leader sees it.
    ///
    /// # Errors
    /// If it never does.
    pub async fn votes(&self, node: TestNode) -> TestResult<Status> {
        let id = self.id(node)?;
        let what = format!("{node:?} ({id}) to vote");
        self.status_where(&what, |status| {
            let mut members = status.members.iter();
            members.any(|member| member.id == id && member.votes)
        })
        .await
    }

    /// Has the leader ask another node to take over; the answer is whoever leads next.
    ///
    /// # Errors
    /// If there is no leader to ask.
    pub async fn hand_over(&self, to: TestNode) -> TestResult {
        let leader = self.node(self.leader().await?)?;
        let raft = leader.core().raft().ok_or("the leader has no raft")?;
        let to = self.node(to)?.core().peers().me().node_id;
        Ok(raft.transfer_leader(to).await?)
    }

    /// Starts a stopped node again on its data, at a new address, which only its own list has.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn restart_elsewhere(&self, down: Down) -> TestResult {
        self.forget_address(down.0)?;
        self.restart(down).await
    }

    /// Starts all stopped nodes again on their data, each at the address of the next.
    ///
    /// # Errors
    /// If one does not start.
    pub async fn restart_with_swapped_addresses(&self) -> TestResult {
        {
            let mut nodes = self.nodes();
            let addresses: Vec<_> = nodes.iter().map(|slot| slot.address).collect();
            let count = nodes.len();
            for (place, slot) in nodes.iter_mut().enumerate() {
                slot.address = addresses[(place + 1) % count];
            }
        }
        self.start_all().await
    }

    /// Starts all stopped nodes again on their data, each at a new address.
    ///
    /// # Errors
    /// If one does not start.
    pub async fn restart_all_elsewhere(&self) -> TestResult {
        let count = self.nodes().len();
        for place in 0..count {
            self.forget_address(TestNode(place))?;
        }
        self.start_all().await
    }

    fn forget_address(&self, node: TestNode) -> TestResult {
        let mut nodes = self.nodes();
        let slot = &mut nodes[node.0];
        if slot.node.is_some() {
            return Err(TestError::from(format!("{node:?} is running")));
        }
        // A port that is bound while the next one is looked for is not given twice.
        let listener = TcpListener::bind((slot.address.ip(), 0))?;
        slot.address = listener.local_addr()?;
        Ok(())
    }

    /// Empties the disk of a stopped node: it comes back as another node at the same address.
    ///
    /// # Errors
    /// If the files cannot be removed.
    pub fn wipe(&self, down: &Down) -> TestResult {
        Ok(std::fs::remove_dir_all(self.data_dir(down.0))?)
    }

    /// Waits until a stopped node's process says why it had to stop.
    ///
    /// # Errors
    /// If it is down by request, or goes on.
    pub async fn why_stopped(&self, node: TestNode) -> TestResult<String> {
        let node = self.node(node)?;
        let stopped = tokio::time::timeout(PATIENCE, node.stopped()).await;
        match stopped.map_err(|_| format!("waited {PATIENCE:?} in vain for it to stop"))? {
            crate::Stopped::Fatal(why) => Ok(why),
            crate::Stopped::Shutdown => Err(TestError::from("it was asked to stop")),
        }
    }
}
