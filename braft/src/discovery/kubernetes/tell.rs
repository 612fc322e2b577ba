//! What an EndpointSlice and a Pod tell of nodes.

use std::collections::BTreeSet;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Resource;
use serde::de::DeserializeOwned;

use crate::discovery::{Host, PeerAddress};

/// What one object tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Where nodes may be contacted.
    pub(super) peers: BTreeSet<PeerAddress>,
    /// The names of the ports there are, if none is the wanted one though there are addresses.
    pub(super) ports_instead: Option<BTreeSet<String>>,
}

/// A kind of object that tells of nodes.
pub(super) trait Tells:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// Reads an object; `port_name` is the name of the port at which nodes are contacted.
    fn tell(&self, port_name: &str) -> Told;
}

impl Tells for EndpointSlice {
    /// Readiness is not looked at: a node gets ready only once it has found the others.
    fn tell(&self, port_name: &str) -> Told {
        let hosts = self.endpoints.iter().flat_map(|at| &at.addresses);
        let ports = self.ports.iter().flatten();
        let ports = ports.map(|port| (port.name.as_deref().unwrap_or(""), port.port));
        told(hosts.map(String::as_str), ports, port_name)
    }
}

impl Tells for Pod {
    /// A pod that has ended keeps its address in its status, and another one may have it by now.
    fn tell(&self, port_name: &str) -> Told {
        let Some(status) = &self.status else {
            return Told::default();
        };
        if !matches!(status.phase.as_deref(), Some("Pending" | "Running")) {
            return Told::default();
        }
        let several = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str());
        let hosts = status.pod_ip.as_deref().into_iter().chain(several);
        let spec = self.spec.iter();
        let containers = spec.flat_map(|spec| {
            let sidecars = spec.init_containers.iter().flatten();
            spec.containers.iter().chain(sidecars)
        });
        let ports = containers.flat_map(|container: &Container| container.ports.iter().flatten());
        let ports = ports.map(|port| {
            (
                port.name.as_deref().unwrap_or(""),
                Some(port.container_port),
            )
        });
        told(hosts, ports, port_name)
    }
}

/// Every host at every port of the wanted name.
fn told<'a>(
    hosts: impl Iterator<Item = &'a str>,
    ports: impl Iterator<Item = (&'a str, Option<i32>)>,
    wanted: &str,
) -> Told {
    let hosts: BTreeSet<Host> = hosts.filter_map(|host| host.parse().ok()).collect();
    let (mut numbers, mut others) = (BTreeSet::new(), BTreeSet::new());
    for (name, number) in ports {
        let number = number.and_then(|number| u16::try_from(number).ok());
        match number.filter(|number| *number != 0) {
            Some(number) if name == wanted => _ = numbers.insert(number),
            _ => _ = others.insert(name.to_owned()),
        }
    }
    let lacking = numbers.is_empty() && !hosts.is_empty();
    let everywhere = hosts.iter().flat_map(|host| {
        let numbers = numbers.iter();
        numbers.map(|number| PeerAddress::new(host.clone(), *number))
    });
    Told {
        peers: everywhere.collect(),
        ports_instead: lacking.then_some(others),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn slice(json: serde_json::Value) -> Told {
        let slice: EndpointSlice = serde_json::from_value(json).expect("an EndpointSlice");
        slice.tell("raft")
    }

    fn pod(status: serde_json::Value) -> Told {
        let json = json!({
            "metadata": {"name": "kv-0"},
            "spec": {
                "initContainers": [{"name": "mesh", "ports": [{"name": "mesh", "containerPort": 1}]}],
                "containers": [{"name": "kv", "ports": [
                    {"name": "http", "containerPort": 15002},
                    {"name": "raft", "containerPort": 15000}
                ]}]
            },
            "status": status,
        });
        let pod: Pod = serde_json::from_value(json).expect("a Pod");
        pod.tell("raft")
    }

    fn written(told: &Told) -> Vec<String> {
        told.peers.iter().map(PeerAddress::to_string).collect()
    }

    #[test]
    fn endpoints_count_whatever_their_condition() {
        let told = slice(json!({
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": true}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": false, "serving": false}},
                {"addresses": ["10.0.0.3"], "conditions": {"ready": false, "terminating": true}},
                {"addresses": ["10.0.0.4"]}
            ],
            "ports": [{"name": "http", "port": 15002}, {"name": "raft", "port": 15000}]
        }));
        let all = [
            "10.0.0.1:15000",
            "10.0.0.2:15000",
            "10.0.0.3:15000",
            "10.0.0.4:15000",
        ];
        assert_eq!(written(&told), all);
        assert_eq!(told.ports_instead, None);
    }

    #[test]
    fn ipv6_endpoints_are_addresses_in_brackets() {
        let told = slice(json!({
            "addressType": "IPv6",
            "endpoints": [{"addresses": ["fd00::1"]}],
            "ports": [{"name": "raft", "port": 15000}]
        }));
        assert_eq!(written(&told), ["[fd00::1]:15000"]);
    }

    #[test]
    fn what_a_slice_leaves_out_is_nothing_found() {
        assert_eq!(
            slice(json!({"addressType": "IPv4", "endpoints": null})),
            Told::default()
        );
        let no_number = slice(json!({
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1"]}],
            "ports": [{"name": "raft"}, {"port": 5}]
        }));
        assert!(no_number.peers.is_empty());
    }

    #[test]
    fn ports_of_other_names_are_told_instead() {
        let told = slice(json!({
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1"]}],
            "ports": [{"name": "peer", "port": 15000}]
        }));
        assert_eq!(
            told.ports_instead,
            Some(BTreeSet::from(["peer".to_owned()]))
        );
    }

    #[test]
    fn pods_that_may_run_and_have_an_address_count() {
        for phase in ["Pending", "Running"] {
            let told = pod(json!({"phase": phase, "podIP": "10.0.0.1"}));
            assert_eq!(written(&told), ["10.0.0.1:15000"]);
        }
        for phase in ["Succeeded", "Failed", "Unknown"] {
            assert_eq!(
                pod(json!({"phase": phase, "podIP": "10.0.0.1"})),
                Told::default()
            );
        }
        assert_eq!(pod(json!({"phase": "Pending"})), Told::default());
    }

    #[test]
    fn both_families_of_a_pod_count_once() {
        let told = pod(json!({
            "phase": "Running",
            "podIP": "10.0.0.1",
            "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]
        }));
        assert_eq!(written(&told), ["10.0.0.1:15000", "[fd00::1]:15000"]);
    }
}
