//! Calls that are answered.

use braft::http::axum;
use braft::testing::{Cluster, TestNode, TestResult};
use serde_json::{Value, json};
use tests::{Board, Counter};

use crate::ask::{get, method, post};

const PIN: &str = "/v1/Board/pin";

#[braft::test(nodes = 3)]
async fn each_node_takes_each_call_and_all_see_the_same(cluster: Cluster<Counter>) -> TestResult {
    let mut total = 0;
    for node in 0..3 {
        let node = cluster.node(TestNode(node))?;
        total += 2;
        let added = post("/v1/Counter/add", json!({ "by": 2 })).of(&node).await;
        assert_eq!(added.value(), total);
        assert_eq!(added.header("cache-control"), "no-store");
        assert!(!added.header("braft-id").is_empty());
        for reads in ["", "?read=linearizable", "?read=lease", "?read=follower"] {
            let path = format!("/v1/Counter/get{reads}");
            assert_eq!(get(&path).of(&node).await.value(), total, "{path}");
            assert_eq!(post(&path, "").of(&node).await.value(), total, "{path}");
        }
    }
    cluster.converged().await?;
    let node = cluster.node(TestNode(0))?;
    for reads in ["local", "local&max_age=10s"] {
        let path = format!("/v1/Counter/get?read={reads}");
        assert_eq!(get(&path).of(&node).await.value(), total);
    }
    // What braft does for programs is the same state.
    assert_eq!(cluster.client().get().await?, total);
    let head = method("HEAD", "/v1/Counter/get").of(&node).await;
    assert_eq!(head.status, 200);
    Ok(())
}

#[braft::test(nodes = 3)]
async fn a_session_read_sees_what_its_caller_has_seen_through_any_node(
    cluster: Cluster<Counter>,
) -> TestResult {
    const READ: &str = "/v1/Counter/get?read=session";
    const POSITION: &str = "braft-position";
    let index = |position: &str| -> TestResult<u64> {
        let (index, _) = position.split_once('-').ok_or("no position")?;
        Ok(index.parse()?)
    };
    let leader = cluster.leader().await?;
    let other = TestNode((leader.0 + 1) % 3);
    let (leading, following) = (cluster.node(leader)?, cluster.node(other)?);
    following.ready().await;
    let add = async || {
        let added = post("/v1/Counter/add", json!({ "by": 1 }))
            .of(&leading)
            .await;
        (added.value(), added.header(POSITION).to_owned())
    };
    for total in 1..=20 {
        let (added, position) = add().await;
        assert_eq!(added, total);
        let read = get(READ).header(POSITION, &position).of(&following).await;
        assert_eq!(read.value(), total);
        assert!(index(read.header(POSITION))? >= index(&position)?);
    }
    // The state of a node that hears of nothing is not passed off as what the caller has seen.
    cluster.isolate(other);
    let (_, position) = add().await;
    let read = get(READ).header(POSITION, &position);
    let read = read.header("braft-timeout", "700ms").of(&following).await;
    read.problem(503, "unavailable");
    assert_eq!(get(READ).of(&following).await.value(), 20);
    cluster.heal();
    let read = get(READ).header(POSITION, &position).of(&following).await;
    assert_eq!(read.value(), 21);
    for wrong in ["", "21", "21-00000000"] {
        let refused = get(READ).header(POSITION, wrong).of(&leading).await;
        refused.problem(400, "rejected");
    }
    Ok(())
}

#[braft::test(nodes = 1)]
async fn values_go_through_their_rust_types(cluster: Cluster<Board>) -> TestResult {
    let node = cluster.node(TestNode(0))?;
    let note = json!({
        "text": "\u{1}\"é\u{10ffff}",
        "color": { "Mixed": { "red": 1, "blue": 255 } },
        "at": { "x": i32::MIN, "y": 7 },
        "by": "2001:db8::1",
    });
    let id = post(PIN, &note).of(&node).await.value();
    assert_eq!(id, 1);
    let same = cluster.client().note(1).await?.ok_or("it is gone")?;
    assert_eq!(same.by, Some("2001:db8::1".parse()?));
    let path = "/v1/Board/note?id=1";
    assert_eq!(get(path).of(&node).await.value(), note);
    let nothing = get("/v1/Board/note?args=%7B%22id%22:9%7D").of(&node).await;
    assert_eq!(nothing.value(), Value::Null);
    let red = get("/v1/Board/of_color?color=%7B%22Mixed%22:%7B%22red%22:1,%22blue%22:255%7D%7D");
    assert_eq!(red.of(&node).await.value(), json!([1]));
    let white = get("/v1/Board/of_color?color=White").of(&node).await;
    assert_eq!(white.value(), json!([]));

    // Not value by value: no number is rounded, and keys need not be text.
    let text = format!(
        r#"{{"big":{},"signed":{},"bytes":[0,255],"spots":[[{{"x":1,"y":-2}},{}]],"names":{{"7":"g"}}}}"#,
        u64::MAX,
        i64::MIN,
        (1_u64 << 53) + 1
    );
    let echo = post("/v1/Board/echo", &text).of(&node).await;
    assert_eq!((echo.status, &echo.text), (200, &text));
    let unit = method("POST", "/v1/Board/clear").of(&node).await;
    assert_eq!(unit.value(), Value::Null);
    Ok(())
}

#[braft::test(nodes = 1)]
async fn what_the_service_refuses_is_422_with_its_own_error(cluster: Cluster<Board>) -> TestResult {
    let node = cluster.node(TestNode(0))?;
    let note = |text: &str| json!({ "text": text, "color": "White", "at": { "x": 0, "y": 0 } });
    let blank = post(PIN, note(" ")).of(&node).await;
    let problem = blank.problem(422, "service");
    assert_eq!(problem["error"], "Blank");
    // It was carried out, and answered so.
    assert_eq!(problem["outcome"], "applied");
    assert_eq!(post(PIN, note("a")).of(&node).await.value(), 1);
    let taken = post(PIN, note("b")).of(&node).await;
    assert_eq!(
        taken.problem(422, "service")["error"],
        json!({ "Taken": { "by": 1 } })
    );
    Ok(())
}

#[test]
fn a_program_may_serve_no_service_and_take_the_places_itself() {
    braft::testing::run_test(1, "without", |_: Cluster<Counter>| async {
        let cluster = Cluster::<Counter>::start_with(1, |config| {
            config.without_json().http_routes(|_| {
                let own = axum::routing::get(|| async { "\"own\"" });
                axum::Router::new().route("/openapi.json", own)
            })
        })
        .await?;
        let node = cluster.node(TestNode(0))?;
        assert_eq!(get("/v1/Counter/get").of(&node).await.status, 404);
        assert_eq!(get("/openapi.json").of(&node).await.text, "\"own\"");
        assert_eq!(get("/healthz").of(&node).await.status, 200);
        cluster.stop_all().await;
        Ok(())
    });
}

#[test]
fn braft_s_own_services_are_not_served() {
    braft::testing::run_test(1, "own", |_: Cluster<Counter>| async {
        let cluster = Cluster::<Counter>::start_with(1, |config| config.distribute()).await?;
        let node = cluster.node(TestNode(0))?;
        let own = get("/v1/braft.distribute/lists").of(&node).await;
        let problem = own.problem(404, "rejected");
        assert!(
            problem["detail"]
                .as_str()
                .unwrap_or_default()
                .ends_with("there is Counter")
        );
        cluster.stop_all().await;
        Ok(())
    });
}
