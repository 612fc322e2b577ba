//! The endpoints of a headless Service (discovery.k8s.io/v1).

use braft::{Kubernetes, PeerSet};
use serde_json::{Value, json};

use crate::log::Log;
use crate::objects::slice;
use crate::seen::Seen;
use crate::stand_in::{Command, Request, StandIn, Trouble};

fn service(stand_in: &StandIn) -> Kubernetes {
    let source = Kubernetes::service("kv").expect("a name");
    source.kubeconfig(stand_in.kubeconfig())
}

#[tokio::test]
async fn nodes_that_come_go_change_and_swap_addresses_are_seen_without_listing_again() {
    let stand_in = StandIn::start().await;
    let mut seen = Seen::by(&service(&stand_in));
    seen.until(&[]).await;

    stand_in.put(slice("kv-1", "kv", &["10.0.0.1"]));
    seen.until(&["10.0.0.1:15000"]).await;
    stand_in.put(slice("kv-1", "kv", &["10.0.0.1", "10.0.0.2", "10.0.0.3"]));
    seen.until(&["10.0.0.1:15000", "10.0.0.2:15000", "10.0.0.3:15000"])
        .await;
    stand_in.put(slice("kv-1", "kv", &["10.0.0.1", "10.0.0.9", "10.0.0.3"]));
    seen.until(&["10.0.0.1:15000", "10.0.0.9:15000", "10.0.0.3:15000"])
        .await;

    // Two pods swap their addresses, from one slice to the other: at each step both are there.
    stand_in.put(slice("kv-2", "kv", &["10.0.0.1"]));
    stand_in.put(slice("kv-1", "kv", &["10.0.0.9", "10.0.0.3"]));
    seen.until(&["10.0.0.1:15000", "10.0.0.9:15000", "10.0.0.3:15000"])
        .await;
    stand_in.change(|store| {
        store.put(slice("kv-1", "kv", &["10.0.0.1", "10.0.0.3"]));
        store.put(slice("kv-2", "kv", &["10.0.0.9"]));
    });
    stand_in.put(slice("kv-3", "kv", &["10.0.0.4"]));
    seen.until(&[
        "10.0.0.1:15000",
        "10.0.0.3:15000",
        "10.0.0.4:15000",
        "10.0.0.9:15000",
    ])
    .await;

    stand_in.delete(&slice("kv-1", "kv", &[]));
    stand_in.delete(&slice("kv-3", "kv", &[]));
    seen.until(&["10.0.0.9:15000"]).await;
    stand_in.delete(&slice("kv-2", "kv", &[]));
    seen.until(&[]).await;
    assert_eq!(stand_in.lists(), 1, "{:?}", stand_in.requests());
}

#[tokio::test]
async fn the_slices_of_the_service_are_asked_for_in_the_own_namespace() {
    let stand_in = StandIn::start().await;
    stand_in.put(slice("web-1", "web", &["10.0.0.1"]));
    stand_in.put(slice("kv-1", "kv", &["10.0.0.2"]));
    let mut elsewhere = slice("kv-2", "kv", &["10.0.0.3"]);
    elsewhere["metadata"]["namespace"] = "test".into();
    stand_in.put(elsewhere);
    let mut own = Seen::by(&service(&stand_in));
    own.until(&["10.0.0.2:15000"]).await;
    let source = service(&stand_in).namespace("test").expect("a name");
    let mut other = Seen::by(&source);
    other.until(&["10.0.0.3:15000"]).await;
    for request in stand_in.requests() {
        assert_eq!(request.selector, "kubernetes.io/service-name=kv");
    }
}

#[tokio::test]
async fn addresses_that_are_not_ready_are_seen_because_no_node_is_ready_alone() {
    let stand_in = StandIn::start().await;
    let mut starting = slice("kv-1", "kv", &["10.0.0.1", "10.0.0.2"]);
    for endpoint in starting["endpoints"].as_array_mut().expect("a list") {
        endpoint["conditions"] = json!({"ready": false, "serving": false});
    }
    stand_in.put(starting);
    let mut seen = Seen::by(&service(&stand_in));
    seen.until(&["10.0.0.1:15000", "10.0.0.2:15000"]).await;
}

#[tokio::test]
async fn both_families_of_addresses_are_seen_at_the_port_of_the_name() {
    let stand_in = StandIn::start().await;
    stand_in.put(slice("kv-1", "kv", &["10.0.0.1"]));
    stand_in.put(slice("kv-2", "kv", &["fd00::1"]));
    let mut empty = slice("kv-3", "kv", &[]);
    // What a server in Go writes for an empty list.
    (empty["endpoints"], empty["ports"]) = (Value::Null, Value::Null);
    stand_in.put(empty);
    let mut seen = Seen::by(&service(&stand_in));
    seen.until(&["10.0.0.1:15000", "[fd00::1]:15000"]).await;
    let source = service(&stand_in).port_name("http").expect("a name");
    Seen::by(&source)
        .until(&["10.0.0.1:15002", "[fd00::1]:15002"])
        .await;
}

#[tokio::test]
async fn how_many_nodes_are_to_form_a_cluster_is_never_guessed() {
    let stand_in = StandIn::start().await;
    stand_in.put(slice("kv-1", "kv", &["10.0.0.1"]));
    let mut seen = Seen::by(&service(&stand_in));
    seen.until(&["10.0.0.1:15000"]).await;
    let all: Vec<PeerSet> = seen.history();
    assert!(all.iter().all(|set| set.expect.is_none()));
}

#[tokio::test]
async fn all_who_look_share_one_watch_which_ends_with_the_last() {
    let stand_in = StandIn::start().await;
    stand_in.put(slice("kv-1", "kv", &["10.0.0.1"]));
    let source = service(&stand_in);
    let (mut one, mut other) = (Seen::by(&source), Seen::by(&source));
    one.until(&["10.0.0.1:15000"]).await;
    other.until(&["10.0.0.1:15000"]).await;
    let mut late = Seen::by(&source);
    late.until(&["10.0.0.1:15000"]).await;
    stand_in.until_watched(1).await;
    drop((one, other));
    stand_in.put(slice("kv-1", "kv", &["10.0.0.2"]));
    late.until(&["10.0.0.2:15000"]).await;
    assert_eq!(stand_in.requests().len(), 2, "{:?}", stand_in.requests());
    drop(late);
    stand_in.until_watched(0).await;
    Seen::by(&source).until(&["10.0.0.2:15000"]).await;
}

#[tokio::test]
async fn a_watch_that_ends_or_breaks_goes_on_where_it_stopped() {
    let stand_in = StandIn::start().await;
    stand_in.put(slice("kv-1", "kv", &["10.0.0.1"]));
    let mut seen = Seen::by(&service(&stand_in));
    for (round, how) in [Command::End, Command::Break].into_iter().enumerate() {
        stand_in.until_watched(1).await;
        stand_in.trouble(Trouble::WatchRefused(503));
        stand_in.command(how);
        stand_in.until_watched(0).await;
        // Comes and goes while nobody watches.
        let address = format!("10.0.1.{round}");
        stand_in.put(slice("kv-2", "kv", &[address.as_str()]));
        stand_in.trouble(Trouble::None);
        seen.until(&["10.0.0.1:15000", &format!("{address}:15000")])
            .await;
    }
}

#[tokio::test]
async fn what_happened_between_two_watches_is_not_missed_and_not_listed() {
    let stand_in = StandIn::start().await;
    stand_in.put(slice("kv-1", "kv", &["10.0.0.1"]));
    stand_in.put(slice("kv-2", "kv", &["10.0.0.2"]));
    let mut seen = Seen::by(&service(&stand_in));
    seen.until(&["10.0.0.1:15000", "10.0.0.2:15000"]).await;
    for how in [Command::End, Command::Break] {
        stand_in.until_watched(1).await;
        stand_in.command(how);
        stand_in.until_watched(0).await;
        stand_in.change(|store| {
            store.delete(&slice("kv-2", "kv", &[]));
            store.put(slice("kv-3", "kv", &["10.0.0.3"]));
        });
        seen.until(&["10.0.0.1:15000", "10.0.0.3:15000"]).await;
        stand_in.change(|store| {
            store.delete(&slice("kv-3", "kv", &[]));
            store.put(slice("kv-2", "kv", &["10.0.0.2"]));
        });
        seen.until(&["10.0.0.1:15000", "10.0.0.2:15000"]).await;
    }
    assert_eq!(stand_in.lists(), 1, "{:?}", stand_in.requests());
}

#[tokio::test]
async fn a_bookmark_moves_the_version_to_go_on_from() {
    let stand_in = StandIn::start().await;
    stand_in.put(slice("kv-1", "kv", &["10.0.0.1"]));
    let mut seen = Seen::by(&service(&stand_in));
    stand_in.until_watched(1).await;
    // Changes of others: the watch is not told of them, and the version it knows grows old.
    stand_in.put(slice("web-1", "web", &["10.0.0.8"]));
    stand_in.put(slice("web-1", "web", &["10.0.0.9"]));
    stand_in.bookmark().await;
    stand_in.compact();
    stand_in.command(Command::End);
    stand_in.until_watched(0).await;
    stand_in.put(slice("kv-1", "kv", &["10.0.0.2"]));
    seen.until(&["10.0.0.2:15000"]).await;
    assert_eq!(stand_in.lists(), 1, "{:?}", stand_in.requests());
}

#[tokio::test]
async fn a_version_that_is_gone_leads_to_a_new_list_which_replaces_all() {
    let log = Log::capture();
    let stand_in = StandIn::start().await;
    stand_in.put(slice("kv-1", "kv", &["10.0.0.1"]));
    stand_in.put(slice("kv-2", "kv", &["10.0.0.2"]));
    let mut seen = Seen::by(&service(&stand_in));
    stand_in.until_watched(1).await;
    stand_in.command(Command::End);
    stand_in.change(|store| {
        store.delete(&slice("kv-1", "kv", &[]));
        store.put(slice("kv-3", "kv", &["10.0.0.3"]));
        store.compact();
    });
    seen.until(&["10.0.0.2:15000", "10.0.0.3:15000"]).await;
    assert_eq!(stand_in.lists(), 2, "{:?}", stand_in.requests());
    let sets = seen.history();
    assert!(sets.iter().all(|set| !set.peers.is_empty()), "{sets:?}");
    let warnings = log.lines("WARN");
    assert!(warnings.is_empty(), "not a failure: {warnings:?}");
}

#[tokio::test]
async fn a_watch_refused_as_gone_by_its_status_leads_to_a_new_list() {
    let log = Log::capture();
    let stand_in = StandIn::start().await;
    stand_in.put(slice("kv-1", "kv", &["10.0.0.1"]));
    stand_in.trouble(Trouble::WatchRefused(410));
    let mut seen = Seen::by(&service(&stand_in));
    seen.until(&["10.0.0.1:15000"]).await;
    let lists = |requests: &[Request]| requests.iter().filter(|request| !request.watch).count();
    stand_in.until_asked(|requests| lists(requests) >= 2).await;
    stand_in.trouble(Trouble::None);
    stand_in.put(slice("kv-1", "kv", &["10.0.0.2"]));
    seen.until(&["10.0.0.2:15000"]).await;
    let failures = log.lines("cannot be watched");
    assert!(failures.is_empty(), "not a failure: {failures:?}");
}

#[tokio::test]
async fn a_list_of_several_pages_is_read_to_its_end() {
    let stand_in = StandIn::start().await;
    let wanted = many(&stand_in, 600);
    let mut seen = Seen::by(&service(&stand_in));
    seen.until(&wanted.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    let pages = stand_in.requests();
    assert_eq!(pages.iter().filter(|request| request.continues).count(), 2);
    assert_eq!(seen.history().len(), 1, "a page was taken for the whole");
}

#[tokio::test]
async fn pages_that_expire_are_read_again_from_the_first() {
    let stand_in = StandIn::start().await;
    let wanted = many(&stand_in, 300);
    stand_in.trouble(Trouble::PagesExpire);
    let mut seen = Seen::by(&service(&stand_in));
    seen.until(&wanted.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    assert_eq!(stand_in.lists(), 2, "{:?}", stand_in.requests());
    assert_eq!(seen.history().len(), 1, "a page was taken for the whole");
}

/// Many slices of one address each.
fn many(stand_in: &StandIn, count: usize) -> Vec<String> {
    let address = |index: usize| format!("10.1.{}.{}", index / 250, index % 250);
    let one = |index: usize| slice(&format!("kv-{index:04}"), "kv", &[address(index).as_str()]);
    stand_in.change(|store| store.put_all((0..count).map(one)));
    (0..count)
        .map(|index| format!("{}:15000", address(index)))
        .collect()
}
