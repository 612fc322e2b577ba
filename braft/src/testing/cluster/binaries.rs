//! Nodes with another binary: the same service as another type, of an older or a later version.

use super::life::Down;
use super::{Cluster, TestNode};
use crate::service::Service;
use crate::testing::TestResult;

impl<S: Service> Cluster<S> {
    /// Starts a stopped node again on its data, with service `T` in the place of the one it had: what
    /// an upgrade does, or a rollback. The two types bear one name.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn restart_as<T: Service>(&self, down: Down) -> TestResult {
        self.nodes()[down.node().0].hosts = |config| config.service::<T>();
        self.restart(down).await
    }

    /// Starts one more node, with an empty disk and with service `T`, and does not wait until it is
    /// taken in.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start_node_as<T: Service>(&self) -> TestResult<TestNode> {
        let listener = self.add_slot()?;
        let node = TestNode(self.nodes().len() - 1);
        self.nodes()[node.0].hosts = |config| config.service::<T>();
        self.boot(node, listener).await?;
        Ok(node)
    }

    /// Whether a version of a service is active on a node, as far as it knows.
    pub(crate) fn is_active(&self, node: TestNode, service: &str, version: u32) -> bool {
        let status = self.node(node).map(|node| node.status());
        status.is_ok_and(|status| {
            let mut services = status.services.iter();
            services.any(|this| this.name == service && this.active_version == version)
        })
    }

    /// Waits until a version of a service is active on a node.
    ///
    /// # Errors
    /// If it never is.
    pub async fn active_version(&self, node: TestNode, service: &str, version: u32) -> TestResult {
        let what = format!("version {version} of {service} on {node:?}");
        self.eventually(&what, || self.is_active(node, service, version))
            .await
    }
}
