//! What `BRAFT_DISCOVERY` may say.

use std::sync::Arc;

use super::{Discovery, Dns, DnsName, InvalidDnsName, InvalidStaticList, PeerAddress, StaticList};
#[cfg(feature = "kubernetes")]
use super::{InvalidKubernetes, Kubernetes};
#[cfg(feature = "mdns")]
use super::{InvalidServiceType, Mdns, ServiceType};

/// Ways of discovery that are not part of this build: spelling, name, cargo feature.
const NOT_BUILT: &[(&str, &str, &str)] = &[
    #[cfg(not(feature = "mdns"))]
    ("mdns", "mDNS", "mdns"),
];

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
#[non_exhaustive]
pub enum DiscoverySpec {
    /// `static:host1,host2:port,:port`, or the list alone.
    Static(StaticList),
    /// `k8s:service=kv`, `k8s:label=app=kv` and more; [`Kubernetes`] has all of it.
    #[cfg(feature = "kubernetes")]
    Kubernetes(Kubernetes),
    /// `mdns` or `mdns:_service._tcp`.
    #[cfg(feature = "mdns")]
    Mdns(ServiceType),
    /// `dns:name`, `dns:name:port` or `dns:_service._tcp.name`.
    Dns(DnsName),
}

/// Why a text names no way of discovery.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
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
    /// The service is not one.
    #[cfg(feature = "mdns")]
    #[error("mdns: {0}")]
    Mdns(#[from] InvalidServiceType),
    /// The name is not one.
    #[error("dns: {0}")]
    Dns(#[from] InvalidDnsName),
    /// A known way that this build leaves out.
    #[error(
        "{way} discovery ({text:?}) is not available in this build: build braft with its feature \
         {feature:?}, or list the peers instead, such as host1,host2:15000; write static:{text} if \
         that is a host's name"
    )]
    NotBuilt {
        /// What the way is called.
        way: &'static str,
        /// The cargo feature that brings it.
        feature: &'static str,
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
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) => (scheme, Some(rest)),
            None => (text, None),
        };
        if KUBERNETES.contains(&scheme) {
            return kubernetes(text, rest.unwrap_or_default(), variables);
        }
        match (scheme, rest) {
            #[cfg(feature = "mdns")]
            ("mdns", None) => return Ok(Self::Mdns(ServiceType::default())),
            #[cfg(feature = "mdns")]
            ("mdns", Some(service)) => return Ok(Self::Mdns(service.parse()?)),
            ("dns", name) => return dns(text, name.unwrap_or_default(), own.port()),
            _ => {}
        }
        if let Some((_, way, feature)) = NOT_BUILT.iter().find(|(name, ..)| *name == scheme) {
            return Err(InvalidDiscovery::NotBuilt {
                way,
                feature,
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
            #[cfg(feature = "mdns")]
            Self::Mdns(service) => Arc::new(Mdns::new(service)),
            Self::Dns(name) => Arc::new(Dns::new(name)),
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

fn dns(text: &str, name: &str, port: u16) -> Result<DiscoverySpec, InvalidDiscovery> {
    let name = DnsName::parse(name, port)?;
    if cfg!(not(feature = "dns")) && matches!(name, DnsName::Srv(_)) {
        return Err(InvalidDiscovery::NotBuilt {
            way: "DNS service record",
            feature: "dns",
            text: text.to_owned(),
        });
    }
    Ok(DiscoverySpec::Dns(name))
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
        for text in [
            #[cfg(not(feature = "mdns"))]
            "mdns:_x._tcp",
            #[cfg(not(feature = "dns"))]
            "dns:_braft._tcp.a.b",
        ] {
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
    fn each_way_has_its_spelling() {
        for (text, name) in [
            #[cfg(feature = "mdns")]
            ("mdns", "mdns"),
            #[cfg(feature = "mdns")]
            ("mdns:_other._tcp", "mdns"),
            #[cfg(feature = "dns")]
            ("dns:_braft._tcp.a.b", "dns"),
            ("dns:a.b", "dns"),
            ("dns:a.b:1", "dns"),
            (":1,:2", "static"),
        ] {
            assert_eq!(parse(text).expect(text).build().name(), name);
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
    fn slips_name_the_way() {
        for (text, part) in [
            #[cfg(feature = "mdns")]
            ("mdns:", "mdns: service"),
            ("dns", "dns: the host is missing"),
            ("dns:", "dns: the host is missing"),
            ("dns:10.0.0.1", "dns: 10.0.0.1:15000 is an address"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.starts_with(part), "{error}");
        }
    }

    #[test]
    fn a_host_whose_name_begins_like_a_way_is_a_host() {
        assert!(parse("dns1.example,mdns-host:1").is_ok());
        assert!(parse("static:mdns").is_ok());
    }
}
