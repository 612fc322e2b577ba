//! Finding the nodes through the API of Kubernetes.
//!
//! | file | what it holds |
//! |---|---|
//! | `mod.rs` | [`Kubernetes`]: the source |
//! | `spec.rs` | its spelling in `BRAFT_DISCOVERY`, and the variables beside it |
//! | `selector.rs` | a check of label selectors |
//! | `tell.rs` | what an EndpointSlice and a Pod tell of nodes |
//! | `feed.rs` | one watch for all who look |
//! | `watch.rs` | list, then watch, for ever |
//! | `connect.rs` | the way to the API server, and its errors in words |
//! | `pace.rs` | when to try again, and what to report |

mod connect;
mod feed;
mod pace;
mod selector;
mod spec;
mod tell;
mod watch;

use std::fmt;
use std::path::PathBuf;

use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::{Discovery, PeerSet};
use feed::Feed;
use tell::Tells;
use watch::Watch;

pub use selector::InvalidSelector;
pub use spec::InvalidKubernetes;

/// The name of the port at which nodes are contacted, unless another one is given.
const DEFAULT_PORT_NAME: &str = "raft";

/// Nodes found through the API of Kubernetes: the endpoints of a Service, or Pods by their labels.
///
/// Needs the feature `kubernetes`. What it sees is watched, not polled, in one namespace: the
/// given one, else this pod's own or that of the kubeconfig's context. The API server is the one
/// of the kubeconfig (`KUBECONFIG`, else `~/.kube/config`), and without one that of the cluster
/// the pod runs in, as its service account. `deploy/kubernetes` has a complete manifest with the
/// least rights.
///
/// How many nodes form a cluster is not visible from here: set
/// [`expect_nodes`](crate::Config::expect_nodes) or `BRAFT_EXPECT` to the number of replicas. Let
/// `BRAFT_IP` be the pod's address (`status.podIP`).
///
/// # Spelling
/// ```text
/// BRAFT_DISCOVERY = ("k8s" | "kubernetes") [":" item {"," item}]
/// item            = "service="   name      the nodes are the endpoints of this Service
///                 | "label="     selector  the nodes are the Pods with these labels
///                 | "namespace=" name      default: the own one
///                 | "portname="  name      default: raft
/// ```
/// Exactly one of *service* and *label* has to be said; nothing ever selects every pod there is.
///
/// - `service`: the EndpointSlices of that Service, which should be headless. Addresses that are
///   not ready count as well: nodes get ready only once they have found each other. `portname` is
///   the port's name in the Service.
/// - `label`: a label selector as `kubectl -l` takes it: `app=kv`, `tier!=web`, `app in (kv,db)`,
///   `app`, `!old`; case is kept. Of several, all have to hold: repeat the item, or go on after a
///   comma: `label=app=kv,label=tier=db` and `label=app=kv,tier=db` are the same. An item that
///   begins with one of the four words above and `=` is that item; a label of such a name has to
///   be written `label=service=…`. Pods that are running or pending and have an address are
///   nodes. `portname` is the name of a container's port.
///
/// `K8S_NAMESPACE` (`K8N`), `K8S_LABELS` (`K8L`: a selector) and `K8S_PORTNAME` (`K8P`) stand in
/// for what the text does not say.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use braft::{Config, Kubernetes};
///
/// let by_service = Config::new().discovery(Kubernetes::service("kv")?).expect_nodes(3);
/// let by_labels = Config::new().discovery(Kubernetes::pods("app=kv,tier in (db)")?);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubernetes {
    target: Target,
    /// `None`: the own one.
    namespace: Option<String>,
    port_name: String,
    /// `None`: found out.
    kubeconfig: Option<PathBuf>,
    feed: Feed,
}

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    /// The EndpointSlices of the Service of this name.
    Service(String),
    /// The Pods that this selector fits.
    Pods(String),
}

impl Kubernetes {
    /// The endpoints of a Service.
    ///
    /// # Errors
    /// If that cannot be the name of a Service.
    pub fn service(name: impl Into<String>) -> Result<Self, InvalidKubernetes> {
        let name = spec::checked_name("service", name.into())?;
        Ok(Self::watching(Target::Service(name)))
    }

    /// The Pods that a label selector fits.
    ///
    /// # Errors
    /// If it is not a selector, or one that says only what is *not* wanted.
    pub fn pods(selector: impl Into<String>) -> Result<Self, InvalidKubernetes> {
        let selector = selector.into();
        selector::check(&selector)?;
        Ok(Self::watching(Target::Pods(selector)))
    }

    fn watching(target: Target) -> Self {
        Self {
            target,
            namespace: None,
            port_name: DEFAULT_PORT_NAME.to_owned(),
            kubeconfig: None,
            feed: Feed::default(),
        }
    }

    /// Looks in this namespace, not in the own one.
    ///
    /// # Errors
    /// If that cannot be the name of a namespace.
    pub fn namespace(mut self, name: impl Into<String>) -> Result<Self, InvalidKubernetes> {
        self.namespace = Some(spec::checked_name("namespace", name.into())?);
        Ok(self)
    }

    /// Contacts the nodes at the port of this name, not at `raft`.
    ///
    /// # Errors
    /// If that cannot be the name of a port.
    pub fn port_name(mut self, name: impl Into<String>) -> Result<Self, InvalidKubernetes> {
        self.port_name = spec::checked_name("portname", name.into())?;
        Ok(self)
    }

    /// Takes the API server, the credentials and the own namespace from the current context of
    /// this file alone.
    pub fn kubeconfig(mut self, path: impl Into<PathBuf>) -> Self {
        self.kubeconfig = Some(path.into());
        self
    }

    /// The selector to list and watch with.
    fn selector(&self) -> String {
        match &self.target {
            Target::Service(name) => format!("kubernetes.io/service-name={name}"),
            Target::Pods(selector) => selector.clone(),
        }
    }

    fn watch<K: Tells>(&self) -> BoxStream<'static, PeerSet> {
        let watch = Watch::<K>::new(self.clone());
        let sets = stream::unfold(watch, |mut watch| async move {
            let set = watch.next().await;
            Some((set, watch))
        });
        self.feed.follow(sets.boxed())
    }
}

impl Discovery for Kubernetes {
    fn name(&self) -> &str {
        "kubernetes"
    }

    fn peers(&self) -> BoxStream<'static, PeerSet> {
        match self.target {
            Target::Service(_) => self.watch::<EndpointSlice>(),
            Target::Pods(_) => self.watch::<Pod>(),
        }
    }
}

/// What is watched, for the log.
impl fmt::Display for Kubernetes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Service(name) => write!(f, "the EndpointSlices of service {name:?}")?,
            Target::Pods(selector) => write!(f, "the Pods with labels {selector:?}")?,
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in namespace {namespace:?}"),
            None => f.write_str(" in this namespace"),
        }
    }
}
