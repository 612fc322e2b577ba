//! Finding the other nodes.
//!
//! | file | what it holds |
//! |---|---|
//! | `peer.rs` | [`PeerAddress`]: host and port |
//! | `source.rs` | [`Discovery`], [`PeerSet`], [`Announcement`]: the trait users may implement |
//! | `static_list.rs` | [`StaticList`]: a fixed list |
//! | `kubernetes/` | `Kubernetes`: the API of Kubernetes (feature `kubernetes`) |
//! | `unset.rs` | `Unset`: nothing was said |
//! | `dns/` | [`Dns`]: a name that stands for all nodes |
//! | `mdns/` | `Mdns`: nodes on the local network (feature `mdns`) |
//! | `spec.rs` | [`DiscoverySpec`]: what `BRAFT_DISCOVERY` may say |
//!
//! Discovery only ever says *whom to contact*. Nothing here, and nothing that reads from here,
//! removes a node: that is decided by the leader from what only the leader can know.

mod dns;
#[cfg(feature = "kubernetes")]
mod kubernetes;
#[cfg(feature = "mdns")]
pub(crate) mod mdns;
mod peer;
mod source;
mod spec;
mod static_list;
mod unset;

pub use dns::{Dns, DnsName, InvalidDnsName};
#[cfg(feature = "kubernetes")]
pub use kubernetes::{InvalidKubernetes, InvalidSelector, Kubernetes};
#[cfg(feature = "mdns")]
pub use mdns::{InvalidServiceType, Mdns, ServiceType};
pub use peer::{Host, InvalidPeerAddress, PeerAddress};
pub use source::{Announcement, Discovery, PeerSet};
pub(crate) use spec::Variables;
pub use spec::{DiscoverySpec, InvalidDiscovery};
pub use static_list::{InvalidItem, InvalidStaticList, StaticList};
pub(crate) use unset::Unset;
