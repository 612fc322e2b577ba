//! What a person sees who sits at a terminal: questions, bars, events as they come.

use std::path::Path;
use std::time::Duration;

use braft::http::axum::{self, Router};
use braft::testing::{Cluster, TestNode, TestResult};
use serde_json::Value;
use tests::{Board, Color, Spot};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::calls::{note, start};
use crate::line::{Running, braft, check, json};
use crate::terminal::Terminal;

/// Events that are emitted before a node is lost, and after.
const EVENTS: i32 = 5;

/// Data of a node that has stopped.
async fn stopped_node(data_dir: &Path) -> TestResult {
    let node = start(data_dir).await?;
    let pin = [
        "call",
        "Board",
        "pin",
        &note(1),
        "--address",
        node.address(),
    ];
    braft(&pin).await.done()?;
    node.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

#[tokio::test]
async fn a_recovery_asks_for_a_word_and_shows_how_far_it_is() {
    check(async {
        let data = tempfile::tempdir()?;
        stopped_node(data.path()).await?;
        let dir = data.path().to_str().ok_or("a name")?;
        let before = json(&["log", "verify", "--data-dir", dir]).await?;
        for answer in ["no", "", "recover it"] {
            let mut terminal = Terminal::run(&["recover", "--data-dir", dir])?;
            terminal.until(r#"Type "recover" to go on: "#).await?;
            terminal.enter(answer)?;
            assert_eq!(terminal.ended().await?, Some(1), "{}", terminal.shown());
            terminal.until("braft: nothing was changed").await?;
            assert_eq!(json(&["log", "verify", "--data-dir", dir]).await?, before);
        }
        let mut terminal = Terminal::run(&["recover", "--data-dir", dir])?;
        terminal
            .until("What the others have acknowledged behind its last entry is lost")
            .await?;
        terminal.until(r#"Type "recover" to go on: "#).await?;
        terminal.enter("recover")?;
        assert_eq!(terminal.ended().await?, Some(0), "{}", terminal.shown());
        terminal.until("of the new cluster").await?;
        // Bars come before the question and after it, and are gone at the end.
        let shown = terminal.shown();
        let (first, last) = shown.split_once("Type").ok_or("no question")?;
        assert!(first.contains("reading"), "{shown}");
        assert!(last.contains("writing"), "{shown}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn who_has_seen_enough_events_stops_them_and_nothing_has_failed() {
    check(async {
        let data = tempfile::tempdir()?;
        let node = start(data.path()).await?;
        let at = ["--address", node.address()];
        let mut terminal = Terminal::run(&[&["events", "Board"], &at[..]].concat())?;
        for x in 1..=2 {
            let pin = braft(&[&["call", "Board", "pin", &note(x)], &at[..]].concat()).await;
            pin.done()?;
            terminal.until(&format!(r#""id":{x},"#)).await?;
        }
        terminal.interrupt()?;
        assert_eq!(terminal.ended().await?, Some(0), "{}", terminal.shown());
        node.shutdown(Duration::from_secs(5)).await;
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_on_at_another_node_without_a_gap() {
    check(async {
        let cluster = Cluster::<Board>::start(3).await?;
        let (mut served, mut serving) = (Vec::new(), Vec::new());
        for place in [0, 1, 2].map(TestNode) {
            let node = cluster.node(place)?;
            node.ready().await;
            let (address, runtime) = serve(node.router())?;
            served.push(address);
            serving.push(runtime);
        }
        let (served, count) = (served.join(","), (2 * EVENTS).to_string());
        let words = ["events", "Board", "--http", &served, "--count", &count];
        let following = Running::start(&words);
        let board = cluster.client();
        let pin = async |x| -> TestResult {
            let at = Spot { x, y: 2 };
            board.pin("hi", Color::White, at, None).await??;
            Ok(())
        };
        for x in 0..EVENTS {
            pin(x).await?;
        }
        // The first address is the one that is followed.
        following
            .until(|out| out.lines().count() == EVENTS as usize)
            .await?;
        let _ = cluster.kill(TestNode(0)).await?;
        serving.remove(0).shutdown_background();
        for x in EVENTS..2 * EVENTS {
            pin(x).await?;
        }
        let lines = following.ended().await?.done()?.out;
        let mut ids = Vec::new();
        for line in lines.lines() {
            let line: Value = serde_json::from_str(line)?;
            ids.push(line["event"]["id"].as_i64().ok_or("no id")?);
        }
        assert!(ids.iter().copied().eq(1..=i64::from(2 * EVENTS)), "{ids:?}");
        serving.into_iter().for_each(Runtime::shutdown_background);
        cluster.stop_all().await;
        Ok(())
    })
    .await;
}

/// Serves the routes of a node, on a runtime whose end breaks all connections.
fn serve(routes: Router) -> TestResult<(String, Runtime)> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?.to_string();
    runtime.spawn(async move {
        let listener = TcpListener::from_std(listener)?;
        axum::serve(listener, routes).await
    });
    Ok((address, runtime))
}
