//! `deploy/kubernetes/kv.yaml`, read with the types of the API (Kubernetes 1.33).

use std::collections::BTreeMap;

use braft::{DiscoverySpec, Kubernetes};
use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Container, PodSpec, Probe, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const FILE: &str = include_str!("../../deploy/kubernetes/kv.yaml");

fn documents() -> Vec<Value> {
    serde_saphyr::from_multiple(FILE).expect("YAML")
}

/// The one object of a kind; a field that the API does not have fails.
fn only<K: Resource + Serialize + DeserializeOwned>() -> K {
    let all = documents();
    let mut found = all
        .iter()
        .filter(|object| object["kind"] == K::KIND && object["apiVersion"] == K::API_VERSION);
    let (Some(object), None) = (found.next(), found.next()) else {
        panic!("not one {} of {}", K::KIND, K::API_VERSION);
    };
    let read: K = serde_json::from_value(object.clone()).expect(K::KIND);
    let back = serde_json::to_value(&read).expect("JSON");
    same(object, &back, K::KIND);
    read
}

/// Whether all that was written has been understood.
fn same(written: &Value, read: &Value, place: &str) {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => {
            for (field, value) in written {
                let place = format!("{place}.{field}");
                let read = read.get(field);
                same(
                    value,
                    read.unwrap_or_else(|| panic!("no such field: {place}")),
                    &place,
                );
            }
        }
        (Value::Array(written), Value::Array(read)) => {
            assert_eq!(written.len(), read.len(), "{place}");
            for (index, (written, read)) in written.iter().zip(read).enumerate() {
                same(written, read, &format!("{place}[{index}]"));
            }
        }
        _ => assert_eq!(written, read, "{place}"),
    }
}

fn set() -> StatefulSet {
    only()
}

fn pod() -> PodSpec {
    let template = set().spec.expect("a spec").template;
    template.spec.expect("a pod")
}

fn container() -> Container {
    let mut containers = pod().containers;
    assert_eq!(containers.len(), 1);
    containers.remove(0)
}

/// The variables that are set to a text.
pub(crate) fn variables() -> BTreeMap<String, String> {
    let all = container().env.unwrap_or_default().into_iter();
    all.filter_map(|variable| Some((variable.name, variable.value?)))
        .collect()
}

fn from_field(variable: &str) -> Option<String> {
    let all = container().env.unwrap_or_default();
    let variable = all.into_iter().find(|it| it.name == variable)?;
    Some(variable.value_from?.field_ref?.field_path)
}

/// The labels that every pod of the set has.
fn pod_labels() -> BTreeMap<String, String> {
    let template = set().spec.expect("a spec").template;
    template.metadata.and_then(|it| it.labels).expect("labels")
}

/// The ports of the container by their names.
fn container_ports() -> BTreeMap<String, i32> {
    let ports = container().ports.unwrap_or_default().into_iter();
    ports
        .map(|port| (port.name.expect("a name"), port.container_port))
        .collect()
}

/// The port and the path of the readiness probe.
pub(crate) fn readiness() -> (u16, String) {
    let probe = container().readiness_probe.and_then(|probe| probe.http_get);
    let probe = probe.expect("an HTTP probe");
    let IntOrString::String(name) = probe.port else {
        panic!("the port is not named");
    };
    let port = container_ports()[&name];
    (
        port.try_into().expect("a port"),
        probe.path.expect("a path"),
    )
}

#[test]
fn every_object_is_one_of_the_known_kinds() {
    assert_eq!(documents().len(), 6);
    let names = [
        only::<ServiceAccount>().metadata.name,
        only::<Role>().metadata.name,
        only::<RoleBinding>().metadata.name,
        only::<Service>().metadata.name,
        only::<StatefulSet>().metadata.name,
        only::<PodDisruptionBudget>().metadata.name,
    ];
    assert!(
        names.iter().all(|name| name.as_deref() == Some("kv")),
        "{names:?}"
    );
}

#[test]
fn the_nodes_may_see_who_is_there_and_nothing_else() {
    let rules = only::<Role>().rules.expect("rules");
    assert_eq!(rules.len(), 1);
    let list = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect());
    assert_eq!(rules[0].api_groups, list(&["discovery.k8s.io"]));
    assert_eq!(rules[0].resources, list(&["endpointslices"]));
    assert_eq!(rules[0].verbs, ["list", "watch"]);

    let binding = only::<RoleBinding>();
    assert_eq!(
        (
            binding.role_ref.kind.as_str(),
            binding.role_ref.name.as_str()
        ),
        ("Role", "kv")
    );
    let subjects = binding.subjects.expect("subjects");
    assert_eq!(subjects.len(), 1);
    assert_eq!(subjects[0].kind, "ServiceAccount");
    assert_eq!(pod().service_account_name, Some(subjects[0].name.clone()));
    assert_ne!(pod().automount_service_account_token, Some(false));
    assert_ne!(
        only::<ServiceAccount>().automount_service_account_token,
        Some(false)
    );
}

#[test]
fn discovery_follows_the_headless_service_at_its_raft_port() {
    let service = only::<Service>();
    let spec = service.spec.expect("a spec");
    assert_eq!(spec.cluster_ip.as_deref(), Some("None"));
    assert_eq!(spec.publish_not_ready_addresses, Some(true));
    assert_eq!(spec.selector, Some(pod_labels()));
    let name = service.metadata.name.expect("a name");
    assert_eq!(
        set().spec.expect("a spec").service_name.as_deref(),
        Some(name.as_str())
    );

    let own = "10.0.0.1:15000".parse().expect("an address");
    let said = DiscoverySpec::parse(&variables()["BRAFT_DISCOVERY"], &own);
    let wanted = Kubernetes::service(name).expect("a name");
    assert_eq!(said, Ok(DiscoverySpec::Kubernetes(wanted)));
    // Without K8S_PORTNAME the port is the one called raft.
    assert_eq!(variables().get("K8S_PORTNAME"), None);
    let ports = spec.ports.expect("ports");
    let numbers = container_ports();
    assert_eq!(ports.len(), 2);
    for port in ports {
        let name = port.name.expect("a name");
        assert_eq!(port.target_port, Some(IntOrString::String(name.clone())));
        assert_eq!(numbers.get(&name), Some(&port.port), "{name}");
    }
}

#[test]
fn the_variables_agree_with_the_rest() {
    let variables = variables();
    let ports = container_ports();
    assert_eq!(variables["BRAFT_RPORT"], ports["raft"].to_string());
    assert_eq!(variables["BRAFT_HPORT"], ports["http"].to_string());
    let replicas = set().spec.and_then(|spec| spec.replicas).expect("a number");
    assert_eq!(variables["BRAFT_EXPECT"], replicas.to_string());
    assert_eq!(from_field("BRAFT_IP").as_deref(), Some("status.podIP"));
    assert_eq!(from_field("BRAFT_NAME").as_deref(), Some("metadata.name"));

    // The data is below the volume's root: a file system may keep things of its own there.
    let mounts = container().volume_mounts.expect("mounts");
    let claims = set()
        .spec
        .and_then(|spec| spec.volume_claim_templates)
        .expect("claims");
    assert_eq!((mounts.len(), claims.len()), (1, 1));
    assert_eq!(
        claims[0].metadata.name.as_deref(),
        Some(mounts[0].name.as_str())
    );
    let below = format!("{}/", mounts[0].mount_path);
    assert!(variables["BRAFT_DATA_DIR"].starts_with(&below));
    let claim = claims[0].spec.as_ref().expect("a spec");
    let modes = claim.access_modes.as_deref().expect("modes");
    assert_eq!(modes, ["ReadWriteOnce"]);
}

#[test]
fn nodes_start_together_and_stop_one_at_a_time_with_time_to_hand_over() {
    let spec = set().spec.expect("a spec");
    assert_eq!(spec.pod_management_policy.as_deref(), Some("Parallel"));
    let update = spec.update_strategy.and_then(|strategy| strategy.type_);
    assert_eq!(update.as_deref(), Some("RollingUpdate"));
    assert_eq!(spec.selector.match_labels, Some(pod_labels()));
    let kept = spec
        .persistent_volume_claim_retention_policy
        .expect("a policy");
    assert_eq!(kept.when_deleted.as_deref(), Some("Retain"));
    assert_eq!(kept.when_scaled.as_deref(), Some("Retain"));

    let budget = only::<PodDisruptionBudget>().spec.expect("a spec");
    assert_eq!(budget.max_unavailable, Some(IntOrString::Int(1)));
    assert_eq!(
        budget.selector.and_then(|it| it.match_labels),
        Some(pod_labels())
    );

    let stop = container()
        .lifecycle
        .and_then(|it| it.pre_stop)
        .expect("preStop");
    let pause = stop.sleep.expect("a sleep").seconds;
    let grace = pod().termination_grace_period_seconds.expect("a time");
    // What is left is for draining and the handover; see `braft::run`.
    assert!(grace >= pause + 20, "{grace} - {pause}");
}

#[test]
fn probes_ask_the_nodes_own_routes() {
    let asks = |probe: Option<Probe>, path: &str| {
        let get = probe
            .and_then(|probe| probe.http_get)
            .expect("an HTTP probe");
        assert_eq!(get.path.as_deref(), Some(path));
        assert_eq!(get.port, IntOrString::String("http".to_owned()));
    };
    asks(container().liveness_probe, "/healthz");
    asks(container().startup_probe, "/healthz");
    asks(container().readiness_probe, "/readyz");
}

#[test]
fn pods_are_spread_over_hosts_and_have_no_rights_on_them() {
    let pod = pod();
    assert_eq!(pod.enable_service_links, Some(false));
    let spread = pod
        .affinity
        .and_then(|it| it.pod_anti_affinity)
        .expect("anti-affinity");
    let required = spread.required_during_scheduling_ignored_during_execution;
    let required = required.expect("a rule");
    assert_eq!(required[0].topology_key, "kubernetes.io/hostname");
    let selected = required[0]
        .label_selector
        .clone()
        .and_then(|it| it.match_labels);
    assert_eq!(selected, Some(pod_labels()));

    let security = pod.security_context.expect("a context");
    assert_eq!(security.run_as_non_root, Some(true));
    assert_eq!(
        security.fs_group, security.run_as_group,
        "the volume is not writable"
    );
    assert_eq!(
        security.seccomp_profile.expect("a profile").type_,
        "RuntimeDefault"
    );
    let container = container().security_context.expect("a context");
    assert_eq!(container.allow_privilege_escalation, Some(false));
    assert_eq!(container.read_only_root_filesystem, Some(true));
    let dropped = container
        .capabilities
        .and_then(|it| it.drop)
        .expect("a list");
    assert_eq!(dropped, ["ALL"]);
}
