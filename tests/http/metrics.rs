//! `/metrics`: what it counts, and that its page, its documentation and its rules agree.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;

use axum::Router;
use axum::routing::{get as on_get, post as on_post};
use braft::Config;
use braft::testing::{Cluster, TestNode, TestResult};
use tests::Counter;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::ask::{get, method, post};
use crate::programs::has;
use crate::run;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn read(path: &str) -> TestResult<String> {
    Ok(std::fs::read_to_string(Path::new(ROOT).join(path))?)
}

/// The samples of a page by metric and labels, as they are written.
fn samples(page: &str) -> BTreeMap<&str, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        (name, value.parse().expect("a number"))
    });
    samples.collect()
}

/// Each metric of a page with its kind.
fn metrics(page: &str) -> BTreeSet<(&str, &str)> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|line| line.split_once(' ')).collect()
}

#[braft::test(nodes = 3)]
async fn a_call_is_counted_once_where_it_is_answered(cluster: Cluster<Counter>) -> TestResult {
    let leader = cluster.leader().await?;
    let other = TestNode((leader.0 + 1) % 3);
    let (leading, following) = (cluster.node(leader)?, cluster.node(other)?);
    following.ready().await;
    for _ in 0..5 {
        let added = post("/v1/Counter/add", r#"{"by":1}"#).of(&following).await;
        assert_eq!(added.status, 200, "{added:?}");
    }
    // The service's own error is an answer; what cannot be read comes to no method's door.
    let too_much = format!(r#"{{"by":{}}}"#, u64::MAX);
    let refused = post("/v1/Counter/add", too_much).of(&following).await;
    assert_eq!(refused.status, 422);
    let local = get("/v1/Counter/get?read=local").of(&following).await;
    assert_eq!(local.status, 200);

    let pages = [leading.metrics(), following.metrics()];
    let [led, followed] = [samples(&pages[0]), samples(&pages[1])];
    let name = |method, kind| {
        format!(
            r#"braft_calls_total{{service="Counter",method="{method}",kind="{kind}",outcome="answered"}}"#
        )
    };
    let (add, query) = (name("add", "command"), name("get", "query"));
    assert_eq!((led[&*add], followed[&*add]), (6.0, 0.0));
    assert_eq!((led[&*query], followed[&*query]), (0.0, 1.0));
    // The opening of the session is passed on too.
    assert!(
        followed["braft_calls_forwarded_total"] >= 6.0,
        "{}",
        pages[1]
    );
    let times = r#"braft_call_duration_seconds_count{service="Counter",method="add",kind="command",result="answered"}"#;
    assert_eq!(led[times], 6.0);
    for bytes in [
        "braft_peer_sent_bytes_total",
        "braft_peer_received_bytes_total",
    ] {
        let of_peers = led.iter().filter(|(name, _)| name.starts_with(bytes));
        let of_peers: Vec<_> = of_peers.map(|(_, value)| *value).collect();
        assert!(
            of_peers.len() == 2 && of_peers.iter().all(|bytes| *bytes > 0.0),
            "{of_peers:?}"
        );
    }
    for each in [&led, &followed] {
        assert!(each["braft_applied_commands_total"] >= 6.0);
        assert!(each["braft_apply_duration_seconds_count"] > 0.0);
        assert!(each["braft_log_fsync_duration_seconds_count"] > 0.0);
        assert!(each["braft_log_entries_total"] > 0.0);
        assert_eq!(each[r#"braft_members{votes="true"}"#], 3.0);
    }
    // Nodes of one process do not mix.
    let role = r#"braft_role{role="leader"}"#;
    assert_eq!((led[role], followed[role]), (1.0, 0.0));
    assert!(led["braft_commit_duration_seconds_count"] >= 6.0);
    assert_eq!(followed["braft_commit_duration_seconds_count"], 0.0);
    assert!(pages[0].contains("braft_peer_heartbeat_duration_seconds_count{peer="));
    Ok(())
}

#[braft::test(nodes = 1)]
async fn page_and_documentation_name_the_same_metrics(cluster: Cluster<Counter>) -> TestResult {
    let node = cluster.node(TestNode(0))?;
    let answer = get("/metrics").of(&node).await;
    assert_eq!(
        answer.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let page = metrics(&answer.text);
    let document = read("docs/metrics.md")?;
    let rows = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `braft_"));
    let documented: BTreeSet<_> = rows
        .map(|row| {
            let mut cells = row.split('|').map(|cell| cell.trim().trim_matches('`'));
            let name = format!("braft_{}", cells.next().unwrap_or_default());
            (name, cells.next().unwrap_or_default().to_owned())
        })
        .collect();
    let served: BTreeSet<_> = page
        .iter()
        .map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned()))
        .collect();
    assert_eq!(served, documented);
    for (name, kind) in &page {
        assert_eq!(name.ends_with("_total"), *kind == "counter", "{name}");
        assert!(*kind != "histogram" || name.ends_with("_seconds"), "{name}");
    }
    // What alerts and the dashboard ask for is there.
    let asking = [
        "deploy/prometheus/braft.rules.yml",
        "deploy/prometheus/braft.rules.test.yml",
        "deploy/grafana/braft.json",
    ];
    for file in asking {
        let text = read(file)?;
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let names: BTreeSet<_> = words.filter(|word| word.starts_with("braft_")).collect();
        assert!(!names.is_empty(), "{file}");
        for name in names {
            let parts = ["_bucket", "_sum", "_count"];
            let bare = parts.iter().find_map(|part| name.strip_suffix(part));
            let is_known = |name: &str| page.iter().any(|(known, _)| *known == name);
            assert!(
                is_known(name) || bare.is_some_and(is_known),
                "{name} in {file}"
            );
        }
    }
    Ok(())
}

#[braft::test(nodes = 1)]
async fn promtool_finds_no_fault_in_page_and_rules(cluster: Cluster<Counter>) -> TestResult {
    if !has("promtool").await {
        return Ok(());
    }
    let node = cluster.node(TestNode(0))?;
    node.client::<Counter>().add(1).await??;
    let mut checking = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = checking.stdin.take().ok_or("no input")?;
    input.write_all(node.metrics().as_bytes()).await?;
    drop(input);
    let said = checking.wait_with_output().await?;
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success() && text.is_empty(), "{text}");

    for (what, file) in [
        ("check", "braft.rules.yml"),
        ("test", "braft.rules.test.yml"),
    ] {
        let output = Command::new("promtool")
            .args([what, "rules", file])
            .current_dir(Path::new(ROOT).join("deploy/prometheus"))
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// What a program serves itself at `/` and `/metrics` stands.
#[test]
fn own_routes_stand_where_the_node_has_pages() {
    run(own_routes());
}

async fn own_routes() -> TestResult {
    let start = async |routes: fn() -> Router| -> TestResult<_> {
        let data = tempfile::tempdir()?;
        let config = Config::new()
            .service::<Counter>()
            .data_dir(data.path())
            .ip(Ipv4Addr::LOCALHOST.into())
            .raft_port(0)
            .expect_nodes(1)
            .without_http()
            .http_routes(move |_| routes());
        Ok((braft::start(config).await?, data))
    };
    let own = || {
        let router = Router::new().route("/", on_get(async || "mine"));
        router.route("/metrics", on_get(async || "my metrics"))
    };
    let (node, _data) = start(own).await?;
    assert_eq!(get("/").of(&node).await.text, "mine");
    assert_eq!(get("/metrics").of(&node).await.text, "my metrics");
    assert!(
        get("/dashboard")
            .of(&node)
            .await
            .text
            .starts_with("<!doctype html>")
    );
    node.shutdown(std::time::Duration::from_secs(5)).await;

    let (node, _data) = start(|| Router::new().fallback(async || "whatever")).await?;
    assert_eq!(get("/").of(&node).await.text, "whatever");
    node.shutdown(std::time::Duration::from_secs(5)).await;

    // A route for another method leaves the page where it is; what is nowhere is not found.
    let posted = || Router::new().route("/", on_post(async || "posted"));
    let (node, _data) = start(posted).await?;
    assert_eq!(method("POST", "/").of(&node).await.text, "posted");
    assert!(get("/").of(&node).await.text.starts_with("<!doctype html>"));
    assert!(
        get("/metrics")
            .of(&node)
            .await
            .text
            .contains("\nbraft_term ")
    );
    assert_eq!(method("POST", "/metrics").of(&node).await.status, 404);
    assert_eq!(get("/elsewhere").of(&node).await.status, 404);
    node.shutdown(std::time::Duration::from_secs(5)).await;
    Ok(())
}
