//! What `BRAFT_DISCOVERY` may say.

use std::sync::Arc;

use super::{Discovery, InvalidStaticList, PeerAddress, StaticList};
#[cfg(feature = "kubernetes")]
use super::{InvalidKubernetes, Kubernetes};

/// Ways of discovery that have a name but are not part of this build, with their spellings.
const NOT_BUILT: &[(&str, &str)] = &[("mdns", "mDNS"), ("dns", "DNS")];

/// Both spellings of Kubernetes.
const KUBERNETES: [&str; 2] = ["k8s", "kubernetes"];

/// What is said beside the text; counts where the text is silent.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(not(feature = "kubernetes"), allow(dead_code))]
pub(crate) struct Variables<'a> {
    /// `K8S_NAMESPACE`.
    pub(crate) k8s_namespace: Option<&'a str>,
    /// `K8S_LABELS`.
    pub(crate) k8s_labels: Option<&'a str>,
    /// `K8S_PORTNAME`.
    pub(crate) k8s_portname: Option<&'a str>,
}

/// A way of discovery as the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiscoverySpec {
    /// `static:host1,host2:port,:port`, or the list alone.
    Static(StaticList),
    /// `k8s:service=kv`, `k8s:label=app=kv` and more; [`Kubernetes`] has all of it.
    #[cfg(feature = "kubernetes")]
    Kubernetes(Kubernetes),
}

/// Why a text names no way of discovery.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDiscovery {
    /// The static list has mistakes.
    #[error(transparent)]
    StaticList(#[from] InvalidStaticList),
    /// What is said of Kubernetes has a mistake.
    #[cfg(feature = "kubernetes")]
    #[error(transparent)]
    Kubernetes(#[from] InvalidKubernetes),
    /// Kubernetes, of which this build has nothing.
    #[error(
        "Kubernetes discovery ({text:?}) needs the feature `kubernetes` of braft, which this \
         build leaves out: add it to the features of braft in Cargo.toml; write static:{text} if \
         that is a host's name"
    )]
    KubernetesNotBuilt {
        /// What the user wrote.
        text: String,
    },
    /// A known way that this build leaves out.
    #[error(
        "{way} discovery ({text:?}) is not available in this build: list the peers instead, \
         such as host1,host2:15000; write static:{text} if that is a host's name"
    )]
    NotBuilt {
        /// What the way is called.
        way: &'static str,
        /// What the user wrote.
        text: String,
    },
}

impl DiscoverySpec {
    /// Reads a way of discovery; `own` is this node's raft address, see [`StaticList::parse`].
    ///
    /// # Errors
    /// See [`InvalidDiscovery`].
    pub fn parse(text: &str, own: &PeerAddress) -> Result<Self, InvalidDiscovery> {
        Self::parse_with(text, own, &Variables::default())
    }

    /// Like [`parse`](Self::parse), with what is said beside the text.
    pub(crate) fn parse_with(
        text: &str,
        own: &PeerAddress,
        variables: &Variables<'_>,
    ) -> Result<Self, InvalidDiscovery> {
        let text = text.trim();
        if let Some(list) = text.strip_prefix("static:") {
            return Ok(Self::Static(StaticList::parse(list, own)?));
        }
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        if KUBERNETES.contains(&scheme) {
            return kubernetes(text, rest, variables);
        }
        if let Some((_, way)) = NOT_BUILT.iter().find(|(name, _)| *name == scheme) {
            return Err(InvalidDiscovery::NotBuilt {
                way,
                text: text.to_owned(),
            });
        }
        Ok(Self::Static(StaticList::parse(text, own)?))
    }

    /// Sets the way of discovery up.
    pub fn build(self) -> Arc<dyn Discovery> {
        match self {
            Self::Static(list) => Arc::new(list),
            #[cfg(feature = "kubernetes")]
            Self::Kubernetes(source) => Arc::new(source),
        }
    }
}

#[cfg(feature = "kubernetes")]
fn kubernetes(
    _: &str,
    items: &str,
    variables: &Variables<'_>,
) -> Result<DiscoverySpec, InvalidDiscovery> {
    let source = Kubernetes::parse(items, variables)?;
    Ok(DiscoverySpec::Kubernetes(source))
}

#[cfg(not(feature = "kubernetes"))]
fn kubernetes(text: &str, _: &str, _: &Variables<'_>) -> Result<DiscoverySpec, InvalidDiscovery> {
    let text = text.to_owned();
    Err(InvalidDiscovery::KubernetesNotBuilt { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DiscoverySpec, InvalidDiscovery> {
        DiscoverySpec::parse(text, &"me:15000".parse().expect("an address"))
    }

    #[test]
    fn the_prefix_static_may_be_left_out() {
        assert_eq!(parse("static:a,b:1"), parse("a,b:1"));
        assert_eq!(parse("a,b").expect("a list").build().name(), "static");
    }

    #[test]
    fn ways_left_out_of_this_build_say_so() {
        for text in ["mdns", "mdns:_x._tcp", "dns:a.b"] {
            let error = parse(text).expect_err("not in this build").to_string();
            assert!(error.contains("not available in this build"), "{error}");
        }
    }

    #[test]
    fn kubernetes_is_in_the_build_or_the_feature_is_named() {
        for text in ["k8s:service=kv", "kubernetes:label=app=kv"] {
            let error = parse(text).err().map(|error| error.to_string());
            assert_eq!(error.is_none(), cfg!(feature = "kubernetes"), "{error:?}");
            if let Some(error) = error {
                assert!(error.contains("the feature `kubernetes`"), "{error}");
            }
        }
    }

    #[test]
    #[cfg(feature = "kubernetes")]
    fn kubernetes_has_two_spellings_and_never_selects_everything() {
        assert_eq!(parse("k8s:service=kv"), parse("kubernetes:service=kv"));
        let source = parse("k8s:service=kv").expect("a service").build();
        assert_eq!(source.name(), "kubernetes");
        for text in ["k8s", "k8s:", "kubernetes:namespace=a"] {
            let error = parse(text).expect_err("nothing selected").to_string();
            assert!(error.contains("k8s:service=kv"), "{error}");
        }
    }

    #[test]
    fn a_host_whose_name_begins_like_a_way_is_a_host() {
        assert!(parse("dns1.example,mdns-host:1").is_ok());
        assert!(parse("static:mdns").is_ok());
    }
}
