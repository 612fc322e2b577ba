//! Settings of a cluster that runs.

use crate::error::Error;
use crate::node::Node;

/// Changes settings of the cluster that a node is a member of: a JSON object with names and values.
pub async fn change_settings(node: &Node, changes: &str) -> Result<(), Error> {
    node.core().change_settings(changes.to_owned()).await
}
