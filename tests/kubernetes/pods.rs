//! Pods by their labels (core/v1), where no Service is named.

use braft::Kubernetes;

use crate::objects::pod;
use crate::seen::Seen;
use crate::stand_in::StandIn;

const LABELS: [(&str, &str); 2] = [("app", "KV"), ("tier", "db")];

fn pods(stand_in: &StandIn, selector: &str) -> Kubernetes {
    let source = Kubernetes::pods(selector).expect("a selector");
    source.kubeconfig(stand_in.kubeconfig())
}

#[tokio::test]
async fn pods_that_come_go_and_swap_addresses_are_seen_without_listing_again() {
    let stand_in = StandIn::start().await;
    let mut seen = Seen::by(&pods(&stand_in, "app=KV"));
    seen.until(&[]).await;
    stand_in.put(pod("kv-0", &LABELS, "Pending", None));
    stand_in.put(pod("kv-0", &LABELS, "Pending", Some("10.0.0.1")));
    seen.until(&["10.0.0.1:15000"]).await;
    stand_in.put(pod("kv-1", &LABELS, "Running", Some("10.0.0.2")));
    seen.until(&["10.0.0.1:15000", "10.0.0.2:15000"]).await;

    // One goes while its address is already the other's: the address stays.
    stand_in.put(pod("kv-1", &LABELS, "Running", Some("10.0.0.1")));
    stand_in.put(pod("kv-0", &LABELS, "Running", Some("10.0.0.2")));
    stand_in.put(pod("kv-0", &LABELS, "Failed", Some("10.0.0.1")));
    seen.until(&["10.0.0.1:15000"]).await;
    stand_in.delete(&pod("kv-0", &LABELS, "Failed", None));
    stand_in.put(pod("kv-2", &LABELS, "Running", Some("fd00::2")));
    seen.until(&["10.0.0.1:15000", "[fd00::2]:15000"]).await;
    stand_in.delete(&pod("kv-1", &LABELS, "Running", None));
    seen.until(&["[fd00::2]:15000"]).await;
    assert_eq!(stand_in.lists(), 1, "{:?}", stand_in.requests());
}

#[tokio::test]
async fn a_pod_is_a_node_while_its_labels_fit_in_their_case() {
    let stand_in = StandIn::start().await;
    stand_in.put(pod("kv-0", &LABELS, "Running", Some("10.0.0.1")));
    let lower = [("app", "kv"), ("tier", "db")];
    stand_in.put(pod("kv-1", &lower, "Running", Some("10.0.0.2")));
    let mut seen = Seen::by(&pods(&stand_in, "app=KV,tier in (db,cache)"));
    seen.until(&["10.0.0.1:15000"]).await;
    stand_in.put(pod("kv-1", &LABELS, "Running", Some("10.0.0.2")));
    seen.until(&["10.0.0.1:15000", "10.0.0.2:15000"]).await;
    let cache = [("app", "KV"), ("tier", "web")];
    stand_in.put(pod("kv-0", &cache, "Running", Some("10.0.0.1")));
    seen.until(&["10.0.0.2:15000"]).await;
    for request in stand_in.requests() {
        assert_eq!(request.selector, "app=KV,tier in (db,cache)");
        assert_eq!(request.namespace, crate::objects::NAMESPACE);
    }
}
