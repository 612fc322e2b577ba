//! Whom a node sees by mDNS: what is believed of what others say.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use mdns_sd::ResolvedService;

use super::record::{self, Malformed, Said};
use crate::discovery::{Announcement, Host, PeerAddress};

/// Most instances kept at a time; further ones are not looked at.
const MAX_INSTANCES: usize = 256;
/// Most addresses taken from one instance: a node announces one.
const MAX_ADDRESSES: usize = 4;
/// Most names of other clusters kept, to be shown when nobody is found.
const MAX_OTHER_CLUSTERS: usize = 4;
/// Longest name of another cluster that is shown; longer ones are not looked at.
const MAX_CLUSTER_NAME: usize = 255;
/// Most malformed records that are reported.
const MAX_REPORTED: usize = 8;
/// So many characters of a malformed record's name are shown.
const MAX_SHOWN: usize = 64;

/// All instances that are announced at this moment and belong to this node's cluster.
///
/// Anybody on the network may say anything, so what is kept is bounded, and merely a hint for whom
/// to contact.
#[derive(Debug)]
pub(super) struct Instances {
    own: Announcement,
    /// By full name: who it says it is, and where.
    found: BTreeMap<String, BTreeSet<PeerAddress>>,
    /// Whether this node's own record came back, as it does where multicast works at all.
    pub(super) own_seen: bool,
    /// Names of other clusters on the network.
    pub(super) other_clusters: BTreeSet<String>,
    /// How many malformed records were reported.
    reported: usize,
}

impl Instances {
    pub(super) fn new(own: Announcement) -> Self {
        Self {
            own,
            found: BTreeMap::new(),
            own_seen: false,
            other_clusters: BTreeSet::new(),
            reported: 0,
        }
    }

    /// Takes in what an instance says of itself now; whether that changes the set.
    pub(super) fn resolved(&mut self, service: &ResolvedService) -> bool {
        let addresses = match record::read(service) {
            Ok(said) => self.addresses(&said, service),
            Err(malformed) => {
                self.report(service, malformed);
                BTreeSet::new()
            }
        };
        if addresses.is_empty() {
            return self.removed(&service.fullname);
        }
        let full = self.found.len() >= MAX_INSTANCES;
        if full && !self.found.contains_key(&service.fullname) {
            return false;
        }
        let before = self.found.insert(service.fullname.clone(), addresses);
        before.as_ref() != self.found.get(&service.fullname)
    }

    /// Says that a record is passed over. Whoever floods the network does not flood the log.
    fn report(&mut self, service: &ResolvedService, malformed: Malformed) {
        if self.reported == MAX_REPORTED {
            return;
        }
        self.reported += 1;
        let name: String = service.fullname.chars().take(MAX_SHOWN).collect();
        let last = if self.reported == MAX_REPORTED {
            "; further ones are not reported"
        } else {
            ""
        };
        tracing::warn!(
            ?name,
            "mDNS: a malformed record is passed over: {malformed}{last}"
        );
    }

    /// Takes in that an instance said goodbye, or was not heard of for long.
    pub(super) fn removed(&mut self, fullname: &str) -> bool {
        self.found.remove(fullname).is_some()
    }

    /// Where peers may be.
    pub(super) fn peers(&self) -> BTreeSet<PeerAddress> {
        self.found.values().flatten().cloned().collect()
    }

    /// The addresses of another node of this cluster; none if it is something else.
    fn addresses(&mut self, said: &Said<'_>, service: &ResolvedService) -> BTreeSet<PeerAddress> {
        let &Said {
            cluster,
            node_id,
            port,
        } = said;
        if cluster != self.own.cluster_name {
            let known = self.other_clusters.len();
            if known < MAX_OTHER_CLUSTERS && cluster.len() <= MAX_CLUSTER_NAME {
                self.other_clusters.insert(cluster.to_owned());
            }
            return BTreeSet::new();
        }
        if node_id == self.own.node_id {
            self.own_seen = true;
            return BTreeSet::new();
        }
        let addresses = service.get_addresses().iter();
        let addresses = addresses
            .map(|ip| ip.to_ip_addr().to_canonical())
            .filter(|ip| self.may_be_a_peer(*ip))
            .collect::<BTreeSet<_>>();
        let addresses = addresses.into_iter().take(MAX_ADDRESSES);
        addresses
            .map(|ip| PeerAddress::new(Host::Ip(ip), port))
            .collect()
    }

    /// Whether an address is as near as this node's own: a record must not send a node that is
    /// reached on its own host or network to somewhere else.
    fn may_be_a_peer(&self, ip: IpAddr) -> bool {
        let Host::Ip(own) = self.own.address.host() else {
            return reach(ip).is_some();
        };
        match (reach(*own), reach(ip)) {
            (Some(Reach::Host), found) => found == Some(Reach::Host),
            (Some(Reach::Network), found) => found == Some(Reach::Network),
            (_, found) => matches!(found, Some(Reach::Network | Reach::World)),
        }
    }

    /// What holds whatever was said.
    #[cfg(feature = "testing")]
    pub(super) fn assert_bounds(&self) {
        assert!(self.found.len() <= MAX_INSTANCES);
        assert!(
            self.found
                .values()
                .all(|found| found.len() <= MAX_ADDRESSES)
        );
        assert!(self.other_clusters.len() <= MAX_OTHER_CLUSTERS);
        let longest = self.other_clusters.iter().map(String::len).max();
        assert!(longest.unwrap_or_default() <= MAX_CLUSTER_NAME);
        assert!(self.reported <= MAX_REPORTED);
        let peers = self.peers();
        let is_near = |peer: &PeerAddress| match peer.host() {
            Host::Ip(ip) => self.may_be_a_peer(*ip) && peer.port() > 0,
            Host::Name(_) => false,
        };
        assert!(peers.iter().all(is_near), "{peers:?}");
    }
}

/// From where an address can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Host,
    Network,
    World,
}

/// `None` for what is no address of a node, or none without a scope.
fn reach(ip: IpAddr) -> Option<Reach> {
    if ip.is_unspecified() || ip.is_multicast() {
        return None;
    }
    if ip.is_loopback() {
        return Some(Reach::Host);
    }
    match ip {
        IpAddr::V4(ip) if ip.is_broadcast() => None,
        IpAddr::V4(ip) if ip.is_private() || ip.is_link_local() => Some(Reach::Network),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => None,
        IpAddr::V6(ip) if ip.is_unique_local() => Some(Reach::Network),
        _ => Some(Reach::World),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use mdns_sd::ServiceInfo;

    use super::super::ServiceType;
    use super::super::record::own_record;
    use super::*;

    fn own(address: &str) -> Announcement {
        Announcement {
            cluster_name: "ours".to_owned(),
            node_id: 1,
            address: address.parse().expect("an address"),
        }
    }

    fn announced(own: &Announcement) -> ResolvedService {
        let record = own_record(&ServiceType::default(), own).expect("a sound record");
        record.as_resolved_service()
    }

    /// What an instance says, with one thing put differently.
    fn saying(name: &str, value: &str, ips: &str, port: u16) -> ResolvedService {
        let mut properties = HashMap::from(
            [
                ("cluster", "ours"),
                ("node", "0000000000000002"),
                ("port", "15000"),
                ("version", "0.1.0"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        properties.insert(name.to_owned(), value.to_owned());
        let domain = ServiceType::default().domain();
        let service = ServiceInfo::new(&domain, "two", "two.local.", ips, port, properties);
        service.expect("a sound record").as_resolved_service()
    }

    fn seen_by(own_address: &str, service: &ResolvedService) -> Vec<String> {
        let mut instances = Instances::new(own(own_address));
        instances.resolved(service);
        instances.peers().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_node_reads_what_another_one_writes() {
        for address in ["10.0.0.2:16000", "[fd00::2]:16000"] {
            let mut other = own(address);
            other.node_id = 2;
            other.cluster_name = "ours".to_owned();
            assert_eq!(seen_by("10.0.0.1:15000", &announced(&other)), [address]);
        }
    }

    #[test]
    fn a_name_of_the_longest_length_allowed_fits() {
        let mut other = own("10.0.0.2:16000");
        other.cluster_name = "n".repeat(200);
        let service = announced(&other);
        let cluster = service.get_property_val_str("cluster");
        assert_eq!(cluster.map(str::len), Some(200));
    }

    #[test]
    fn a_nodes_own_record_only_shows_that_multicast_works() {
        let mut instances = Instances::new(own("10.0.0.1:15000"));
        assert!(!instances.own_seen);
        instances.resolved(&announced(&own("10.0.0.1:15000")));
        assert!(instances.own_seen);
        assert!(instances.peers().is_empty());
    }

    #[test]
    fn nodes_of_another_cluster_are_no_peers_but_are_named() {
        let mut instances = Instances::new(own("10.0.0.1:15000"));
        instances.resolved(&saying("cluster", "theirs", "10.0.0.2", 15_000));
        assert!(instances.peers().is_empty());
        assert!(instances.other_clusters.contains("theirs"));
        for index in 0..100 {
            let name = format!("other-{index}");
            instances.resolved(&saying("cluster", &name, "10.0.0.2", 15_000));
        }
        assert_eq!(instances.other_clusters.len(), MAX_OTHER_CLUSTERS);
    }

    #[test]
    fn what_is_not_said_properly_is_not_believed() {
        let sound = saying("x", "y", "10.0.0.2", 15_000);
        assert_eq!(seen_by("10.0.0.1:15000", &sound), ["10.0.0.2:15000"]);
        for service in [
            saying("node", "2", "10.0.0.2", 15_000),
            saying("node", "+000000000000002", "10.0.0.2", 15_000),
            saying("node", "", "10.0.0.2", 15_000),
            saying("port", "15001", "10.0.0.2", 15_000),
            saying("port", "x", "10.0.0.2", 15_000),
            saying("port", "0", "10.0.0.2", 0),
            saying(
                "x",
                "y",
                "0.0.0.0,255.255.255.255,224.0.0.1,::,ff02::1",
                15_000,
            ),
        ] {
            let seen = seen_by("10.0.0.1:15000", &service);
            assert!(seen.is_empty(), "{seen:?} from {service:?}");
        }
    }

    #[test]
    fn a_record_sends_no_node_beyond_where_it_is_reached_itself() {
        let all = "127.0.0.1,::ffff:127.0.0.1,10.0.0.2,fd00::2,fe80::2,8.8.8.8";
        let service = saying("x", "y", all, 15_000);
        let seen = seen_by("127.0.0.1:15000", &service);
        assert_eq!(seen, ["127.0.0.1:15000"]);
        let seen = seen_by("10.0.0.1:15000", &service);
        assert_eq!(seen, ["10.0.0.2:15000", "[fd00::2]:15000"]);
        let seen = seen_by("8.8.4.4:15000", &service);
        assert_eq!(seen, ["8.8.8.8:15000", "10.0.0.2:15000", "[fd00::2]:15000"]);
    }

    #[test]
    fn an_instance_that_changes_is_no_longer_what_it_was() {
        let mut instances = Instances::new(own("10.0.0.1:15000"));
        assert!(instances.resolved(&saying("x", "y", "10.0.0.2", 15_000)));
        assert!(!instances.resolved(&saying("x", "y", "10.0.0.2", 15_000)));
        assert!(instances.resolved(&saying("x", "y", "10.0.0.3", 15_000)));
        assert_eq!(instances.peers().len(), 1);
        assert!(instances.resolved(&saying("cluster", "theirs", "10.0.0.3", 15_000)));
        assert!(instances.peers().is_empty());
    }

    #[test]
    fn a_flood_of_instances_ends_at_the_bound() {
        let mut instances = Instances::new(own("10.0.0.1:15000"));
        for node_id in 2..1_000 {
            let mut other = own("10.0.0.2:1");
            other.node_id = node_id;
            let port = u16::try_from(node_id).expect("small");
            other.address = other.address.with_port(port);
            instances.resolved(&announced(&other));
        }
        assert_eq!(instances.peers().len(), MAX_INSTANCES);
        let many: Vec<_> = (2..100).map(|last| format!("10.0.0.{last}")).collect();
        let service = saying("x", "y", &many.join(","), 15_000);
        assert_eq!(seen_by("10.0.0.1:1", &service).len(), MAX_ADDRESSES);
    }

    #[test]
    fn what_is_no_record_of_a_node_says_why() {
        let why = |name: &str, value: &str, port| {
            let service = saying(name, value, "10.0.0.2", port);
            record::read(&service).expect_err("malformed")
        };
        assert_eq!(why("cluster", "", 15_000), Malformed::Cluster);
        assert_eq!(why("node", "2", 15_000), Malformed::NodeId);
        assert_eq!(why("port", "0", 0), Malformed::Port);
        let mut service = saying("x", "y", "10.0.0.2", 15_000);
        let text: &[u8] = b"\x0bcluster=\xff\xfe\xfd\x05node=\x04port";
        service.txt_properties = text.into();
        assert_eq!(record::read(&service), Err(Malformed::Cluster));
        service.fullname = "n".repeat(2_000);
        assert_eq!(record::read(&service), Err(Malformed::Name));
    }

    #[test]
    fn a_flood_of_malformed_records_is_reported_a_few_times() {
        let mut instances = Instances::new(own("10.0.0.1:15000"));
        for _ in 0..100 {
            instances.resolved(&saying("node", "x", "10.0.0.2", 15_000));
        }
        assert_eq!(instances.reported, MAX_REPORTED);
        assert!(instances.peers().is_empty() && instances.other_clusters.is_empty());
    }
}
