//! What a node says of itself.

use std::sync::OnceLock;

use super::core::Core;
use crate::cluster::monitor::Outlook;
use crate::config::Resolved;
use crate::status::Status;

/// What does not change while a node runs.
pub(crate) struct About {
    pub(super) http_address: String,
    pub(super) outlook: OnceLock<Outlook>,
}

impl About {
    pub(super) fn new(resolved: &Resolved, http: Option<&tokio::net::TcpListener>) -> Self {
        About {
            http_address: String::new(),
            outlook: OnceLock::new(),
        }
    }
}

impl Core {
    pub(crate) fn status(&self) -> Status {
        Status { x: 1 }
    }
}
