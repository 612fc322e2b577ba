//! Calls that are not answered, each with its status and what to do.

use std::time::Duration;

use braft::testing::{Cluster, TestNode, TestResult};
use braft::{Node, raft_service};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tests::{Board, Counter};

use crate::ask::{Ask, get, method, post};
use crate::run;

async fn refused(node: &Node, ask: Ask, status: u16, said: &str) {
    let answer = ask.of(node).await;
    let problem = answer.problem(status, "rejected");
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(said), "{said:?} is missing in: {detail}");
    assert_eq!(problem["outcome"], "not_applied");
}

#[braft::test(nodes = 1)]
async fn a_wrong_request_is_told_what_is_wrong_and_what_there_is(
    cluster: Cluster<Board>,
) -> TestResult {
    let node = cluster.node(TestNode(0))?;
    let clear = "/v1/Board/clear";
    let json = |path: &str, json: &str| post(path, json);
    let cases = [
        (get("/v1/Bord/count"), 404, "there is Board"),
        (get("/v1/Board"), 404, "pin, unpin, clear, note"),
        (
            get("/v1/Board/cuont"),
            404,
            "it has pin, unpin, clear, note",
        ),
        // Neither a helper of the service nor what is not in its impl block.
        (get("/v1/Board/default"), 404, "no method"),
        (get(clear), 405, "use POST"),
        (method("DELETE", clear), 405, "use POST"),
        (method("PUT", "/v1/Board/count"), 405, "GET, HEAD, POST"),
        (json(clear, "{"), 400, "EOF"),
        (json(clear, "[]"), 400, "not a JSON object"),
        (
            json(clear, r#"{"all":1}"#),
            400,
            "unknown name `all`; it takes no arguments",
        ),
        (json("/v1/Board/unpin", "{}"), 400, "missing field `id`"),
        (
            json("/v1/Board/unpin", r#"{"id":"1"}"#),
            400,
            "expected u64",
        ),
        (json("/v1/Board/unpin", r#"{"id":1.5}"#), 400, "it takes id"),
        (
            json("/v1/Board/pin", r#"{"color":"Pink"}"#),
            400,
            "expected one of `White`",
        ),
        (get("/v1/Board/note?id=x"), 400, "expected u64"),
        (get("/v1/Board/note?id=1&id=2"), 400, "duplicate field `id`"),
        (get("/v1/Board/note?id=1&ids=2"), 400, "unknown name `ids`"),
        (
            get("/v1/Board/note?id=1&args={}"),
            400,
            "both by name and as args",
        ),
        (get("/v1/Board/count?read=stale"), 400, "linearizable"),
        (get("/v1/Board/count?max_age=1s"), 400, "read=local"),
        (json("/v1/Board/clear?read=local", ""), 400, "for queries"),
        (json("/v1/Board/unpin?id=1", ""), 400, "stand in the body"),
        (
            get("/v1/Board/count").header("braft-timeout", "1h"),
            400,
            "500ms",
        ),
        (
            get("/v1/Board/count").header("braft-timeout", "2m"),
            400,
            "at most",
        ),
        (
            method("POST", clear).header("content-type", "application/x-www-form-urlencoded"),
            415,
            "--json",
        ),
        (
            method("POST", clear).header("sec-fetch-site", "cross-site"),
            403,
            "another origin",
        ),
        (
            method("POST", clear).header("content-length", "4194305"),
            413,
            "4194304 bytes",
        ),
        (
            json(clear, &" ".repeat((4 << 20) + 1)),
            413,
            "4194304 bytes",
        ),
        (
            json(
                "/v1/Board/pin",
                &format!(
                    r#"{{"text":"{}","color":"White","at":{{"x":1,"y":1}}}}"#,
                    "x".repeat(1 << 20)
                ),
            ),
            413,
            "split it",
        ),
    ];
    for (ask, status, said) in cases {
        refused(&node, ask, status, said).await;
    }
    let allowed = get(clear).of(&node).await;
    assert_eq!(allowed.header("allow"), "POST");
    assert_eq!(cluster.client().count().await?, 0);
    Ok(())
}

#[braft::test(nodes = 3)]
async fn without_a_majority_a_call_ends_in_time_and_says_what_is_known(
    cluster: Cluster<Counter>,
) -> TestResult {
    let leader = cluster.leader().await?;
    let others = (0..3).map(TestNode).filter(|node| *node != leader);
    for node in others {
        let _down = cluster.kill(node).await?;
    }
    let node = cluster.node(leader)?;
    let query = get("/v1/Counter/get").header("braft-timeout", "300ms");
    let unavailable = query.of(&node).await;
    assert_eq!(
        unavailable.problem(503, "unavailable")["outcome"],
        "not_applied"
    );
    assert_eq!(unavailable.header("retry-after"), "1");
    // Perhaps it is in the leader's log, which may be carried out one day.
    let command = post("/v1/Counter/add", json!({ "by": 1 })).header("braft-timeout", "300ms");
    let answer = command.of(&node).await;
    let problem = answer.json();
    match answer.status {
        503 => assert_eq!(problem["outcome"], "not_applied"),
        504 => assert_eq!(problem["outcome"], "unknown"),
        other => panic!("{other}: {problem}"),
    }
    let local = get("/v1/Counter/get?read=local").of(&node).await;
    assert_eq!(local.value(), 0);
    let bounded = get("/v1/Counter/get?read=local&max_age=1ms").header("braft-timeout", "300ms");
    bounded.of(&node).await.problem(503, "unavailable");
    Ok(())
}

/// Goes wrong when it is asked to.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Brittle {
    value: u64,
}

#[raft_service]
impl Brittle {
    pub fn set(&mut self, value: u64) -> Vec<u8> {
        assert_ne!(value, 13, "unlucky");
        self.value = value;
        vec![0; usize::try_from(value).expect("a length")]
    }

    pub fn get(&self, unlucky: bool) -> u64 {
        assert!(!unlucky, "unlucky");
        self.value
    }
}

#[braft::test(nodes = 1)]
async fn code_that_panics_is_no_failure_of_the_server(cluster: Cluster<Brittle>) -> TestResult {
    let node = cluster.node(TestNode(0))?;
    let set = |value: u64| post("/v1/Brittle/set", json!({ "value": value }));
    refused(&node, get("/v1/Brittle/get?unlucky=true"), 400, "panicked").await;
    refused(&node, set(13), 400, "panicked").await;
    assert_eq!(set(2).of(&node).await.value(), json!([0, 0]));
    assert_eq!(
        get("/v1/Brittle/get?unlucky=false").of(&node).await.value(),
        2
    );
    Ok(())
}

#[test]
fn a_node_without_a_cluster_says_so_and_is_alive() {
    run(async {
        let data = tempfile::tempdir()?;
        let config = braft::Config::new()
            .service::<Counter>()
            .data_dir(data.path())
            .ip([127, 0, 0, 1].into())
            .raft_port(0)
            .discovery(braft::StaticList::new(["127.0.0.1:1".parse()?]))
            .expect_nodes(2);
        let node = braft::start(config).await?;
        let query = get("/v1/Counter/get").header("braft-timeout", "100ms");
        let answer = query.of(&node).await;
        let problem = answer.problem(503, "unavailable");
        assert!(
            problem["detail"]
                .as_str()
                .unwrap_or_default()
                .contains("no cluster yet")
        );
        assert_eq!(get("/healthz").of(&node).await.status, 200);
        let ready = get("/readyz").of(&node).await;
        assert_eq!((ready.status, &ready.json()["ready"]), (503, &json!(false)));
        node.shutdown(Duration::from_secs(1)).await;
        Ok(())
    });
}
