//! How peers are found, and how many nodes form a cluster.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::layer::Layer;
use crate::discovery::{
    Discovery, DiscoverySpec, Host, PeerAddress, PeerSet, StaticList, Unset, Variables,
};
use crate::error::Error;

/// What the settings say of it.
pub(super) struct Peers {
    source: Option<Arc<dyn Discovery>>,
    /// The way of discovery in words.
    way: Option<String>,
    /// Namespace, labels and port name for Kubernetes.
    k8s: [Option<String>; 3],
    /// The static list, before this node's own address is known.
    pub(super) listed: Option<PeerSet>,
    expect: Option<usize>,
    default_expect: Option<usize>,
}

impl Peers {
    /// Reads the settings; `default` applies where they say nothing, see
    /// [`Config::default_discovery`](super::Config::default_discovery).
    pub(super) fn new(
        layer: &Layer,
        source: Option<Arc<dyn Discovery>>,
        default: Option<(String, usize)>,
        port: u16,
    ) -> Result<Self, Error> {
        let (default_way, default_expect) = default.unzip();
        let way = layer.discovery.clone().or(default_way);
        let way = way.map(|way| match &layer.mdns_service {
            Some(service) if way.trim() == "mdns" => format!("mdns:{service}"),
            _ => way,
        });
        let anyone = PeerAddress::new(Host::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)), port);
        let variables = layer.variables();
        let spec = way.as_deref().map(|way| parse(way, &anyone, &variables));
        let spec = spec.transpose()?;
        Ok(Self {
            source,
            k8s: [&layer.k8s_namespace, &layer.k8s_labels, &layer.k8s_portname].map(Option::clone),
            way,
            listed: spec.as_ref().and_then(listed),
            expect: layer.expect,
            default_expect,
        })
    }

    /// Whether a source finds nodes that may be on other hosts.
    pub(super) fn wide(&self) -> bool {
        self.source.is_some() || (self.way.is_some() && self.listed.is_none())
    }

    /// The source of peers, and how many nodes form a cluster.
    pub(super) fn resolve(
        self,
        own: &PeerAddress,
    ) -> Result<(Arc<dyn Discovery>, Option<usize>), Error> {
        let (source, listed): (Arc<dyn Discovery>, _) = match (self.source, self.way) {
            (Some(source), _) => (source, None),
            (None, Some(way)) => {
                let [namespace, labels, portname] = &self.k8s;
                let variables = Variables {
                    k8s_namespace: namespace.as_deref(),
                    k8s_labels: labels.as_deref(),
                    k8s_portname: portname.as_deref(),
                };
                let spec = parse(&way, own, &variables)?;
                let listed = listed(&spec).map(|list| list.peers.len());
                (spec.build(), listed)
            }
            // There is nobody to look for, if the user knows how many there are to be.
            (None, None) if self.expect.is_some() => {
                (Arc::new(StaticList::new([own.clone()])), None)
            }
            (None, None) => (Arc::new(Unset), None),
        };
        let expect = self.expect.or(listed).or(self.default_expect);
        Ok((source, expect))
    }
}

fn parse(way: &str, own: &PeerAddress, variables: &Variables<'_>) -> Result<DiscoverySpec, Error> {
    DiscoverySpec::parse_with(way, own, variables)
        .map_err(|error| Error::rejected(format!("BRAFT_DISCOVERY: {error}")))
}

fn listed(spec: &DiscoverySpec) -> Option<PeerSet> {
    let DiscoverySpec::Static(list) = spec else {
        return None;
    };
    let peers = list.addresses().clone();
    Some(PeerSet {
        expect: Some(peers.len()),
        peers,
    })
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};

    use super::*;

    fn peers(layer: &Layer, default: Option<(&str, usize)>) -> Peers {
        let default = default.map(|(way, expect)| (way.to_owned(), expect));
        Peers::new(layer, None, default, 15_000).expect("a sound way of discovery")
    }

    fn resolve(
        layer: &Layer,
        default: Option<(&str, usize)>,
    ) -> (Arc<dyn Discovery>, Option<usize>) {
        let own = "127.0.0.1:15000".parse().expect("an address");
        let resolved = peers(layer, default).resolve(&own);
        resolved.expect("a sound way of discovery")
    }

    #[test]
    fn a_node_that_was_told_nothing_does_not_take_itself_for_the_whole_cluster() {
        let first_set = |source: &dyn Discovery| source.peers().next().now_or_never().flatten();
        let (source, expect) = resolve(&Layer::default(), None);
        assert_eq!((first_set(&*source), expect), (None, None));
        let alone = Layer {
            expect: Some(1),
            ..Layer::default()
        };
        let (source, expect) = resolve(&alone, None);
        let set = first_set(&*source).expect("it is known at once");
        assert_eq!((set.peers.len(), expect), (1, Some(1)));
    }

    #[test]
    fn the_default_way_applies_where_nothing_is_said_and_its_number_unless_a_list_is_given() {
        let named = |discovery: Option<&str>, expect| {
            let layer = Layer {
                discovery: discovery.map(str::to_owned),
                expect,
                ..Layer::default()
            };
            let (source, expect) = resolve(&layer, Some(("dns:nodes", 3)));
            format!("{} {expect:?}", source.name())
        };
        assert_eq!(named(None, None), "dns Some(3)");
        assert_eq!(named(None, Some(1)), "dns Some(1)");
        #[cfg(feature = "mdns")]
        assert_eq!(named(Some("mdns"), None), "mdns Some(3)");
        assert_eq!(named(Some(":1,:2"), None), "static Some(2)");
        assert_eq!(named(Some(":1,:2"), Some(1)), "static Some(1)");
    }

    #[cfg(feature = "mdns")]
    #[test]
    fn the_service_for_mdns_has_its_own_variable_unless_it_is_written_out() {
        let way = |discovery: &str| {
            let layer = Layer {
                discovery: Some(discovery.to_owned()),
                mdns_service: Some("_other._tcp".to_owned()),
                ..Layer::default()
            };
            peers(&layer, None).way.expect("a way was given")
        };
        assert_eq!(way("mdns"), "mdns:_other._tcp");
        assert_eq!(way("mdns:_own._tcp"), "mdns:_own._tcp");
        assert_eq!(way("a,b"), "a,b");
    }

    #[test]
    fn only_a_source_that_looks_around_reaches_beyond_this_host() {
        let wide = |discovery: Option<&str>| {
            let layer = Layer {
                discovery: discovery.map(str::to_owned),
                ..Layer::default()
            };
            peers(&layer, None).wide()
        };
        assert!(wide(Some("dns:nodes")));
        assert!(!wide(None) && !wide(Some("a,b")));
    }

    #[cfg(feature = "kubernetes")]
    #[test]
    fn kubernetes_is_found_by_its_variables_and_its_peers_are_on_other_hosts() {
        let layer = Layer {
            discovery: Some("k8s".to_owned()),
            k8s_labels: Some("app=kv".to_owned()),
            ..Layer::default()
        };
        let (source, expect) = resolve(&layer, None);
        assert_eq!((source.name(), expect), ("kubernetes", None));
        assert!(peers(&layer, None).wide());
    }

    #[cfg(feature = "kubernetes")]
    #[test]
    fn kubernetes_without_a_selection_is_a_mistake_with_its_remedy() {
        let layer = Layer {
            discovery: Some("k8s".to_owned()),
            k8s_portname: Some("raft".to_owned()),
            ..Layer::default()
        };
        let refused = Peers::new(&layer, None, None, 15_000).err();
        let text = refused.expect("nothing selected").to_string();
        assert!(
            text.contains("BRAFT_DISCOVERY") && text.contains("K8S_LABELS"),
            "{text}"
        );
    }
}
