//! An API server in trouble: what was seen stays valid, and what comes later is seen.

use braft::{Kubernetes, PeerSet};
use futures_util::future::join_all;

use crate::log::Log;
use crate::objects::slice;
use crate::seen::{Seen, addresses};
use crate::stand_in::{Command, StandIn, Trouble};

fn service(stand_in: &StandIn) -> Kubernetes {
    let source = Kubernetes::service("kv").expect("a name");
    source.kubeconfig(stand_in.kubeconfig())
}

/// The only thing seen so far.
fn still(seen: &Seen, wanted: &[&str]) {
    let peers = addresses(wanted);
    let expect = None;
    assert_eq!(seen.history(), [PeerSet { peers, expect }]);
}

#[tokio::test]
async fn what_was_seen_stays_while_the_server_is_away() {
    let mut stand_in = StandIn::start().await;
    stand_in.put(slice("kv-1", "kv", &["10.0.0.1"]));
    let mut seen = Seen::by(&service(&stand_in));
    seen.until(&["10.0.0.1:15000"]).await;
    stand_in.until_watched(1).await;
    stand_in.stop().await;
    stand_in.put(slice("kv-1", "kv", &["10.0.0.2"]));
    still(&seen, &["10.0.0.1:15000"]);
    stand_in.restart().await;
    seen.until(&["10.0.0.2:15000"]).await;
    assert_eq!(seen.history().len(), 2, "{:?}", seen.history());
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_waited_for() {
    let mut stand_in = StandIn::start().await;
    stand_in.stop().await;
    stand_in.put(slice("kv-1", "kv", &["10.0.0.1"]));
    let mut seen = Seen::by(&service(&stand_in));
    stand_in.hang_up(3).await;
    assert_eq!(seen.history(), []);
    stand_in.restart().await;
    seen.until(&["10.0.0.1:15000"]).await;
}

#[tokio::test]
async fn what_was_seen_stays_while_the_server_refuses() {
    let refused = [403, 429, 500, 503].map(|code| async move {
        let stand_in = StandIn::start().await;
        stand_in.put(slice("kv-1", "kv", &["10.0.0.1"]));
        let mut seen = Seen::by(&service(&stand_in));
        seen.until(&["10.0.0.1:15000"]).await;
        stand_in.until_watched(1).await;
        let before = stand_in.requests().len();
        stand_in.trouble(Trouble::Refused(code));
        stand_in.command(Command::End);
        stand_in
            .until_asked(|requests| requests.len() >= before + 3)
            .await;
        still(&seen, &["10.0.0.1:15000"]);
        stand_in.trouble(Trouble::None);
        stand_in.put(slice("kv-1", "kv", &["10.0.0.2"]));
        seen.until(&["10.0.0.2:15000"]).await;
    });
    join_all(refused).await;
}

#[tokio::test]
async fn trouble_and_its_end_are_each_reported_once_with_the_remedy() {
    let log = Log::capture();
    let stand_in = StandIn::start().await;
    stand_in.put(slice("kv-1", "kv", &["10.0.0.1"]));
    stand_in.trouble(Trouble::Refused(403));
    let mut seen = Seen::by(&service(&stand_in));
    stand_in.until_asked(|requests| requests.len() >= 3).await;
    let failures = log.lines("cannot be watched");
    assert_eq!(failures.len(), 1, "{failures:?}");
    let parts = ["WARN", "service \"kv\"", "answers 403", "deploy/kubernetes"];
    assert!(
        parts.iter().all(|part| failures[0].contains(part)),
        "{failures:?}"
    );
    assert_eq!(log.lines(" watching ").len(), 0);

    stand_in.trouble(Trouble::None);
    seen.until(&["10.0.0.1:15000"]).await;
    stand_in.until_watched(1).await;
    stand_in.command(Command::End);
    stand_in.until_watched(0).await;
    stand_in.until_watched(1).await;
    assert_eq!(log.lines("cannot be watched").len(), 1);
    assert_eq!(log.lines(" watching ").len(), 1);
}

#[tokio::test]
async fn a_port_name_that_is_not_there_is_named_with_those_that_are() {
    let log = Log::capture();
    let stand_in = StandIn::start().await;
    stand_in.put(slice("kv-1", "kv", &["10.0.0.1"]));
    let source = service(&stand_in).port_name("peer").expect("a name");
    let mut seen = Seen::by(&source);
    seen.until(&[]).await;
    let lines = log.lines("no port named");
    assert_eq!(lines.len(), 1, "{lines:?}");
    let parts = ["\"peer\"", "http, raft", "K8S_PORTNAME"];
    assert!(
        parts.iter().all(|part| lines[0].contains(part)),
        "{lines:?}"
    );
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_watch_is_overcome() {
    let stand_in = StandIn::start().await;
    stand_in.put(slice("kv-1", "kv", &["10.0.0.1"]));
    let mut seen = Seen::by(&service(&stand_in));
    stand_in.until_watched(1).await;
    stand_in.command(Command::Error(500));
    stand_in.until_watched(0).await;
    stand_in.put(slice("kv-1", "kv", &["10.0.0.2"]));
    seen.until(&["10.0.0.2:15000"]).await;
}

#[tokio::test]
async fn a_token_that_was_replaced_is_read_again() {
    let stand_in = StandIn::start().await;
    stand_in.put(slice("kv-1", "kv", &["10.0.0.1"]));
    stand_in.write_kubeconfig("expired");
    let mut seen = Seen::by(&service(&stand_in));
    stand_in.until_asked(|requests| requests.len() >= 2).await;
    assert_eq!(seen.history(), []);
    stand_in.write_good_kubeconfig();
    seen.until(&["10.0.0.1:15000"]).await;
}

#[tokio::test]
async fn a_kubeconfig_that_comes_later_is_waited_for() {
    let stand_in = StandIn::start().await;
    stand_in.put(slice("kv-1", "kv", &["10.0.0.1"]));
    std::fs::remove_file(stand_in.kubeconfig()).expect("it is there");
    let log = Log::capture();
    let mut seen = Seen::by(&service(&stand_in));
    while log.lines("the kubeconfig cannot be used").is_empty() {
        tokio::task::yield_now().await;
    }
    stand_in.write_good_kubeconfig();
    seen.until(&["10.0.0.1:15000"]).await;
}

#[tokio::test]
async fn a_server_behind_tls_is_spoken_to_with_the_authority_of_the_kubeconfig() {
    let stand_in = StandIn::start_secure().await;
    stand_in.put(slice("kv-1", "kv", &["10.0.0.1"]));
    let mut seen = Seen::by(&service(&stand_in));
    seen.until(&["10.0.0.1:15000"]).await;
    stand_in.put(slice("kv-1", "kv", &["10.0.0.2"]));
    seen.until(&["10.0.0.2:15000"]).await;
}
