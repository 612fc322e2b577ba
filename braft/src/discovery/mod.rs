//! Finding the other nodes.
//!
//! | file | what it holds |
//! |---|---|
//! | `peer.rs` | [`PeerAddress`]: host and port |
//! | `source.rs` | [`Discovery`] and [`PeerSet`]: the trait users may implement |
//! | `static_list.rs` | [`StaticList`]: a fixed list |
//! | `kubernetes/` | `Kubernetes`: the API of Kubernetes (feature `kubernetes`) |
//! | `spec.rs` | [`DiscoverySpec`]: what `BRAFT_DISCOVERY` may say |
//!
//! Discovery only ever says *whom to contact*. Nothing here, and nothing that reads from here,
//! removes a node: that is decided by the leader from what only the leader can know.

#[cfg(feature = "kubernetes")]
mod kubernetes;
mod peer;
mod source;
mod spec;
mod static_list;

#[cfg(feature = "kubernetes")]
pub use kubernetes::{InvalidKubernetes, InvalidSelector, Kubernetes};
pub use peer::{Host, InvalidPeerAddress, PeerAddress};
pub use source::{Discovery, PeerSet};
pub(crate) use spec::Variables;
pub use spec::{DiscoverySpec, InvalidDiscovery};
pub use static_list::{InvalidItem, InvalidStaticList, StaticList};
