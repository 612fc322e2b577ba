//! Nodes that stop, start again, and join.

use super::waits::PATIENCE;
use super::{Cluster, TestNode};
use crate::service::Service;
use crate::testing::TestResult;
use crate::world::process::Process;

/// A node that was stopped; its data is kept.
#[derive(Debug)]
#[must_use = "restart it, or name it `_`"]
pub struct Down(pub(super) TestNode);

impl Down {
    /// Which node it is.
    pub fn node(&self) -> TestNode {
        self.0
    }
}

impl<S: Service> Cluster<S> {
    /// Stops a node at once, as a crash would; its data stays.
    ///
    /// # Errors
    /// If it is down already.
    pub async fn kill(&self, node: TestNode) -> TestResult<Down> {
        let running = self.nodes()[node.0].node.take();
        let running = running.ok_or_else(|| format!("{node:?} is down already"))?;
        self.shared.ground.power_off(&self.address(node));
        self.go_on(node);
        running.kill().await;
        Ok(Down(node))
    }

    /// Lets a node of a simulation stand still, as if its process was stopped: none of its tasks runs, and
    /// what arrives for it waits.
    pub(crate) fn hold(&self, node: TestNode) {
        if let Some(process) = &self.nodes()[node.0].process {
            process.hold();
        }
    }

    /// Lets a node go on that stood still.
    pub(crate) fn go_on(&self, node: TestNode) {
        let process = self.nodes()[node.0].process.clone();
        if let Some(process) = process {
            process.go_on();
        }
    }

    /// Cuts a node's connections when it is called, as far as that can be simulated.
    pub(crate) fn unplug(&self, node: TestNode) -> impl FnOnce() + Send + 'static {
        let (cluster, address) = (self.clone(), self.address(node));
        move || cluster.shared.ground.power_off(&address)
    }

    /// Stops a node in order, as on SIGTERM; its data stays.
    ///
    /// # Errors
    /// If it is down already.
    pub async fn shut_down(&self, node: TestNode) -> TestResult<Down> {
        let running = self.nodes()[node.0].node.take();
        let running = running.ok_or_else(|| format!("{node:?} is down already"))?;
        running.shutdown(PATIENCE).await;
        Ok(Down(node))
    }

    /// Stops the leader at once.
    ///
    /// # Errors
    /// If there is none.
    pub async fn kill_leader(&self) -> TestResult<Down> {
        self.kill(self.leader().await?).await
    }

    /// Starts a stopped node again, on its data and its address.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn restart(&self, down: Down) -> TestResult {
        self.start_again(down.0).await
    }

    /// From its next start on, the monotonic clock of this node runs at this rate, as far as raft goes
    /// by it: 1.05 for one that gains a twentieth.
    pub fn set_clock_rate(&self, node: TestNode, rate: f64) {
        self.nodes()[node.0].clock_rate = rate;
    }

    /// Starts a node again that is down.
    pub(crate) async fn start_again(&self, node: TestNode) -> TestResult {
        let address = self.nodes()[node.0].address;
        let listener = self.shared.ground.bind(address)?;
        Ok(self.boot(node, listener).await?)
    }

    /// Stops all nodes at once, as a power cut would.
    pub async fn stop_all(&self) {
        let ground = &self.shared.ground;
        let running: Vec<_> = self
            .nodes()
            .iter_mut()
            .inspect(|slot| ground.power_off(&slot.address.to_string()))
            .inspect(|slot| slot.process.iter().for_each(Process::go_on))
            .filter_map(|slot| slot.node.take())
            .collect();
        let stopping = running.into_iter().map(|node| {
            tokio::spawn(async move {
                node.kill().await;
            })
        });
        for stopped in stopping.collect::<Vec<_>>() {
            if let Err(error) = stopped.await {
                tracing::warn!(%error, "a test node did not stop in order");
            }
        }
    }

    /// Starts all nodes that are down, on their data.
    ///
    /// # Errors
    /// If one of them does not start.
    pub async fn start_all(&self) -> TestResult {
        let down: Vec<_> = {
            let nodes = self.nodes();
            (0..nodes.len())
                .filter(|place| nodes[*place].node.is_none())
                .collect()
        };
        for place in down {
            self.start_again(TestNode(place)).await?;
        }
        Ok(())
    }

    /// Adds a node with an empty disk, which joins; returns once it is a member.
    ///
    /// # Errors
    /// If it is not taken in.
    pub async fn add_node(&self) -> TestResult<TestNode> {
        let listener = self.add_slot()?;
        let node = TestNode(self.nodes().len() - 1);
        self.boot(node, listener).await?;
        self.wait_for_member(node).await?;
        Ok(node)
    }
}
