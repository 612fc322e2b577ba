//! Events as server-sent events.

use axum::body::Body;
use axum::http::Request;
use braft::http::axum;
use braft::testing::{Cluster, TestNode, TestResult, run_test};
use braft::{Node, Settings};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tests::{Board, BoardClient, Color, Counter, Spot};
use tower::ServiceExt;

use crate::ask::get;

const EVENTS: &str = "/v1/Board/events";

/// One event as it came.
#[derive(Debug, Default, PartialEq)]
struct Sent {
    id: String,
    name: String,
    data: Value,
}

/// A stream of events that is being read.
struct Reading {
    body: axum::body::BodyDataStream,
    text: String,
}

impl Reading {
    async fn open(node: &Node, path: &str, last: Option<&str>) -> TestResult<Self> {
        let mut request = Request::get(path);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = Box::pin(node.router().oneshot(request.body(Body::empty())?)).await;
        let response = response.unwrap_or_else(|never| match never {});
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Ok(Reading {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        })
    }

    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> TestResult<Option<Sent>> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let mut sent = Sent::default();
                for line in block.lines() {
                    match line.split_once(": ").or_else(|| line.split_once(':')) {
                        Some(("id", id)) => id.clone_into(&mut sent.id),
                        Some(("event", name)) => name.clone_into(&mut sent.name),
                        Some(("data", data)) => sent.data = serde_json::from_str(data)?,
                        _ => {}
                    }
                }
                if sent != Sent::default() {
                    return Ok(Some(sent));
                }
                continue;
            }
            match self.body.next().await {
                Some(bytes) => self.text.push_str(std::str::from_utf8(&bytes?)?),
                None => return Ok(None),
            }
        }
    }
}

async fn pin(board: &BoardClient, x: i32) -> TestResult {
    board
        .pin("a", Color::White, Spot { x, y: 0 }, None)
        .await??;
    Ok(())
}

fn pinned(id: i32) -> Value {
    json!({ "id": id, "at": { "x": id, "y": 0 } })
}

#[braft::test(nodes = 3)]
async fn each_event_comes_once_in_order_and_a_reader_goes_on_at_another_node(
    cluster: Cluster<Board>,
) -> TestResult {
    let board = cluster.client();
    pin(&board, 1).await?;
    pin(&board, 2).await?;
    let mut reading = Reading::open(&cluster.node(TestNode(0))?, EVENTS, None).await?;
    let first = reading.next().await?.ok_or("it ended")?;
    assert_eq!((&first.data, first.name.as_str()), (&pinned(1), ""));
    let second = reading.next().await?.ok_or("it ended")?;
    assert_eq!(second.data, pinned(2));
    // Before anything happens, and as it happens.
    pin(&board, 3).await?;
    assert_eq!(reading.next().await?.ok_or("it ended")?.data, pinned(3));
    drop(reading);

    let other = cluster.node(TestNode(1))?;
    let after = format!("{EVENTS}?after={}", first.id);
    let mut reading = Reading::open(&other, &after, None).await?;
    assert_eq!(reading.next().await?.ok_or("it ended")?, second);
    // A browser repeats the address, and says what it has seen by then.
    let mut reading = Reading::open(&other, &after, Some(&second.id)).await?;
    assert_eq!(reading.next().await?.ok_or("it ended")?.data, pinned(3));
    let mut latest = Reading::open(&other, &format!("{EVENTS}?after=latest"), None).await?;
    pin(&board, 4).await?;
    assert_eq!(latest.next().await?.ok_or("it ended")?.data, pinned(4));
    Ok(())
}

#[test]
fn events_that_are_gone_are_said_to_be() {
    run_test(1, "compacted", |_: Cluster<Board>| async {
        let settings = Settings {
            event_history_bytes: 1,
            ..Settings::default()
        };
        let configure = move |config: braft::Config| config.settings(settings.clone());
        let cluster = Cluster::<Board>::start_with(1, configure).await?;
        let node = cluster.node(TestNode(0))?;
        let board = cluster.client();
        pin(&board, 1).await?;
        let mut reading = Reading::open(&node, EVENTS, None).await?;
        let first = reading.next().await?.ok_or("it ended")?;
        for x in 2..5 {
            pin(&board, x).await?;
        }
        // It has read as far as it was asked: what came in between is not kept.
        let gone = get(&format!("{EVENTS}?after={}", first.id)).of(&node).await;
        let problem = gone.problem(410, "compacted");
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
        let end = loop {
            match reading.next().await? {
                Some(sent) if sent.name.is_empty() => {}
                end => break end.ok_or("it ended without a word")?,
            }
        };
        assert_eq!(
            (end.name.as_str(), &end.data["kind"]),
            ("compacted", &json!("compacted"))
        );
        assert_eq!(reading.next().await?, None);
        cluster.stop_all().await;
        Ok(())
    });
}

#[braft::test(nodes = 1)]
async fn a_stream_ends_with_its_node_and_wrong_requests_are_refused(
    cluster: Cluster<Board>,
) -> TestResult {
    let node = cluster.node(TestNode(0))?;
    let mut reading = Reading::open(&node, EVENTS, None).await?;
    let unknown = get("/v1/Bord/events").of(&node).await;
    unknown.problem(404, "rejected");
    for wrong in ["after=1", "after=x.y", "before=1.0"] {
        let answer = get(&format!("{EVENTS}?{wrong}")).of(&node).await;
        answer.problem(400, "rejected");
    }
    let _down = cluster.kill(TestNode(0)).await?;
    while let Some(sent) = reading.next().await? {
        assert_eq!(sent.name, "problem");
    }
    Ok(())
}

#[braft::test(nodes = 1)]
async fn a_service_without_events_says_so(cluster: Cluster<Counter>) -> TestResult {
    let node = cluster.node(TestNode(0))?;
    let answer = get("/v1/Counter/events").of(&node).await;
    let problem = answer.problem(404, "rejected");
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|text| text.contains("emits no events"))
    );
    Ok(())
}
