//! The client: from a typed call to the leader and back.

use crate::call::Channel;

/// The typed client of a service; implemented by `#[raft_service]`.
pub trait Client: From<Channel> + Clone + Send + Sync + 'static {}
