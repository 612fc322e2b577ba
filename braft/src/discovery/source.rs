//! The trait behind which every way of finding peers stands.

use std::collections::BTreeSet;

use futures_core::{future::BoxFuture, stream::BoxStream};

use super::PeerAddress;

/// What a [`Discovery`] sees at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerSet {
    /// Raft addresses at which a node may answer; this node's own may be among them.
    pub peers: BTreeSet<PeerAddress>,
    /// How many pristine nodes must agree before they form a cluster, if the source can tell.
    ///
    /// `BRAFT_EXPECT` overrides it. It also says that the set is complete: a node that has heard
    /// from all of it need not look any longer before it forms a cluster. A source that sees only
    /// the nodes that happen to be up must say `None`: the first node to look would otherwise form
    /// a cluster on its own.
    pub expect: Option<usize>,
}

/// What a node tells of itself, where the source can pass it on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Announcement {
    /// Which nodes belong together: peers of another name are not spoken to.
    pub cluster_name: String,
    /// The id in the node's data directory.
    pub node_id: u64,
    /// Where the others reach its raft server.
    pub address: PeerAddress,
}

impl Announcement {
    /// Puts one together; the runtime does, and tests of a source.
    pub fn new(cluster_name: impl Into<String>, node_id: u64, address: PeerAddress) -> Self {
        Self {
            cluster_name: cluster_name.into(),
            node_id,
            address,
        }
    }
}

/// A source of addresses at which peers may be found.
///
/// Implement it to find nodes by means of your own, for example a service registry:
///
/// ```
/// use braft::{Discovery, PeerSet};
/// use futures_util::stream::{self, BoxStream, StreamExt};
///
/// /// A service registry, asked every five seconds.
/// struct Registry;
///
/// impl Discovery for Registry {
///     fn name(&self) -> &str {
///         "registry"
///     }
///     fn peers(&self) -> BoxStream<'static, PeerSet> {
///         let sets = stream::unfold((), |()| async {
///             tokio::time::sleep(std::time::Duration::from_secs(5)).await;
///             let peers = ["10.0.0.1:15000".parse().ok()?].into();
///             Some((PeerSet { peers, expect: Some(3) }, ()))
///         });
///         sets.boxed()
///     }
/// }
/// ```
///
/// # Correctness
/// What a source yields is a *hint for whom to contact*, never a fact about the cluster. The
/// runtime stays safe whatever it says; a source is merely useful if it keeps these duties:
///
/// - **Each item is the whole set** as seen at that moment and replaces the one before it. It is
///   not a list of changes.
/// - **Absence means nothing.** A node that is missing from a set is not removed, not even if it
///   is missing for ever. Yielding an empty set on an error is allowed, yielding nothing is
///   better.
/// - **Addresses are raft addresses**: the host and port on which the peer's raft server listens.
///   Strangers, stale addresses and this node's own address do no harm.
/// - **Eventually complete.** While every node keeps being seen by at least one other one, and
///   the sets connect all nodes, the nodes find each other; each tells the others whom it knows.
/// - **`expect` never shrinks by itself.** It is the number of nodes the user asked for, not the
///   number that can be seen now.
/// - **The stream does not block and does not end** while more could be seen; one that ends keeps
///   its last set valid. A source that fails retries inside, with a bounded back-off, and reports
///   through `tracing`.
/// - **`peers` may be called several times**; each stream starts with the present set as soon as
///   it is known.
///
/// A source at which nodes have to register themselves also implements [`announce`] and
/// [`withdraw`]; a registry that somebody else fills leaves them alone.
///
/// [`announce`]: Discovery::announce
/// [`withdraw`]: Discovery::withdraw
pub trait Discovery: Send + Sync + 'static {
    /// Short name for status and log, such as `static` or `mdns`.
    fn name(&self) -> &str;

    /// Yields the set seen now, then a new one at each change.
    fn peers(&self) -> BoxStream<'static, PeerSet>;

    /// Tells the others of this node. Called once, within the runtime, before [`peers`], when the
    /// node's server listens; returns at once and works in the background, where failures are
    /// retried and reported.
    ///
    /// [`peers`]: Discovery::peers
    fn announce(&self, own: Announcement) {
        let _ = own;
    }

    /// Takes the announcement back: the node stops in order. It waits for this, but not long.
    fn withdraw(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}
