//! EndpointSlices and Pods as a Kubernetes 1.33 API server has them.

use serde_json::{Value, json};

/// The namespace that the kubeconfig of the tests is in.
pub(crate) const NAMESPACE: &str = "prod";

/// An EndpointSlice of a service with these IPv4 addresses, all ready, and the port `raft` 15000.
pub(crate) fn slice(name: &str, service: &str, addresses: &[&str]) -> Value {
    slice_at(name, service, 15_000, addresses)
}

/// Likewise, at another port.
pub(crate) fn slice_at(name: &str, service: &str, port: u16, addresses: &[&str]) -> Value {
    let endpoints: Vec<_> = addresses.iter().map(|address| endpoint(address)).collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "generateName": format!("{service}-"),
            "labels": {
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                "kubernetes.io/service-name": service,
                "service.kubernetes.io/headless": "",
            },
        },
        "addressType": if addresses.iter().any(|ip| ip.contains(':')) { "IPv6" } else { "IPv4" },
        "endpoints": endpoints,
        "ports": [
            {"name": "raft", "port": port, "protocol": "TCP"},
            {"name": "http", "port": port + 2, "protocol": "TCP"},
        ],
    })
}

fn endpoint(address: &str) -> Value {
    json!({
        "addresses": [address],
        "conditions": {"ready": true, "serving": true, "terminating": false},
        "nodeName": "worker-1",
        "targetRef": {"kind": "Pod", "namespace": NAMESPACE, "name": "kv-0"},
    })
}

/// A Pod with labels, in a phase, with a container port `raft` 15000; without address if none is
/// given.
pub(crate) fn pod(
    name: &str,
    labels: &[(&str, &str)],
    phase: &str,
    address: Option<&str>,
) -> Value {
    pod_at(name, labels, phase, address, 15_000)
}

/// Likewise, at another port.
pub(crate) fn pod_at(
    name: &str,
    labels: &[(&str, &str)],
    phase: &str,
    address: Option<&str>,
    port: u16,
) -> Value {
    let labels: Value = labels.iter().map(|(key, value)| (*key, *value)).collect();
    let mut status = json!({"phase": phase, "qosClass": "BestEffort"});
    if let Some(address) = address {
        status["podIP"] = address.into();
        status["podIPs"] = json!([{"ip": address}]);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "containers": [{
                "name": "kv",
                "image": "kv",
                "ports": [
                    {"name": "raft", "containerPort": port, "protocol": "TCP"},
                    {"name": "http", "containerPort": port + 2, "protocol": "TCP"},
                ],
            }],
        },
        "status": status,
    })
}
