//! `braft call` and `braft events`.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use braft::testing::TestResult;
use braft::{Config, Node};
use serde_json::{Value, json};
use tests::{Board, Counter};

use crate::line::{braft, check};

/// One node that serves HTTP.
pub async fn start(data_dir: &Path) -> TestResult<Node> {
    let config = Config::new()
        .service::<Counter>()
        .service::<Board>()
        .cluster_name("calls")
        .data_dir(data_dir)
        .ip(Ipv4Addr::LOCALHOST.into())
        .raft_port(0)
        .http_port(0)
        .expect_nodes(1)
        .segment_bytes(2 << 20);
    let node = braft::start(config).await?;
    node.ready().await;
    Ok(node)
}

pub fn note(x: i32) -> String {
    json!({ "text": "hi", "color": "White", "at": { "x": x, "y": 2 } }).to_string()
}

#[tokio::test]
async fn a_service_is_called_and_each_failure_has_its_exit_code() {
    check(async {
        let data = tempfile::tempdir()?;
        let node = start(data.path()).await?;
        let at = ["--address", node.address()];
        let call = async |words: &[&str]| braft(&[&["call"], words, &at[..]].concat()).await;
        let by = r#"{"by":2}"#;
        assert_eq!(call(&["Counter", "add", by]).await.done()?.out, "2\n");
        assert_eq!(call(&["Counter", "get"]).await.done()?.out, "2\n");
        let local = call(&["Counter", "get", "--read", "local"]).await;
        assert_eq!(local.done()?.out, "2\n");
        for _ in 0..2 {
            let keyed = call(&["Counter", "add", by, "--key", "8e03978e"]).await;
            assert_eq!(keyed.done()?.out, "4\n");
        }
        call(&["Counter", "ad", by])
            .await
            .failed(1, &["it has add, get"])?;
        call(&["Counter", "add", "{"]).await.failed(1, &["EOF"])?;
        call(&["Counter", "get", "--read", "old"])
            .await
            .failed(1, &["old"])?;
        // What was seen goes from call to call.
        call(&["Counter", "get", "--read", "session"])
            .await
            .failed(1, &["--position"])?;
        let seen = data.path().join("seen");
        let seen_at = || std::fs::read_to_string(&seen);
        let file = seen.display().to_string();
        let kept = ["--position", &file];
        call(&[&["Counter", "add", r#"{"by":0}"#], &kept[..]].concat())
            .await
            .done()?;
        let added = seen_at()?;
        let read = ["Counter", "get", "--read", "session"];
        let read = [&read[..], &kept].concat();
        assert_eq!(call(&read).await.done()?.out, "4\n");
        assert_eq!(seen_at()?, added);
        std::fs::write(&seen, "7-00000000")?;
        call(&read)
            .await
            .failed(1, &["no position in this cluster"])?;
        std::fs::write(&seen, "\u{7}")?;
        call(&read).await.failed(1, &["remove it"])?;
        call(&["Coun ter", "get"])
            .await
            .failed(1, &["braft schema"])?;
        let other = call(&["Counter", "add", r#"{"by":3}"#, "--key", "8e03978e"]).await;
        other.failed(1, &["its own"])?;
        let most = format!(r#"{{"by":{}}}"#, u64::MAX);
        let failed = call(&["Counter", "add", &most, "--json"]).await;
        let failed: Value = serde_json::from_str(&failed.failed(5, &["error of its own"])?)?;
        assert_eq!(failed["code"], 5);
        let gone = [
            "call",
            "Counter",
            "get",
            "--http",
            "127.0.0.1:1",
            "--timeout",
            "0.5",
        ];
        braft(&gone).await.failed(3, &["127.0.0.1:1"])?;
        node.shutdown(Duration::from_secs(5)).await;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_command_whose_answer_does_not_come_is_unknown_unless_it_has_a_key() {
    check(async {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = silent.local_addr()?.to_string();
        // Takes a request, and closes the connection.
        let closing = tokio::spawn(async move {
            let mut bytes = [0; 4096];
            while let Ok((stream, _)) = silent.accept().await {
                drop(stream.readable().await);
                drop(stream.try_read(&mut bytes));
            }
        });
        let call = [
            "call",
            "Counter",
            "add",
            "--http",
            &address,
            "--timeout",
            "1",
        ];
        let said = braft(&call)
            .await
            .failed(6, &["may have been carried out"])?;
        assert!(said.contains("--key"), "{said}");
        let keyed = [&call[..], &["--key", "8e03978e"]].concat();
        braft(&keyed)
            .await
            .failed(6, &["repeat it under the same key"])?;
        closing.abort();
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn events_are_lines_that_go_on_where_one_has_stopped() {
    check(async {
        let data = tempfile::tempdir()?;
        let node = start(data.path()).await?;
        let at = ["--address", node.address()];
        for x in 0..3 {
            let pinned = braft(&[&["call", "Board", "pin", &note(x)], &at[..]].concat()).await;
            pinned.done()?;
        }
        let events = async |words: &[&str]| {
            let printed = braft(&[&["events", "Board"], words, &at[..]].concat()).await;
            let lines = printed.done()?.out;
            let lines = lines.lines().map(serde_json::from_str::<Value>);
            Ok::<_, braft::testing::TestError>(lines.collect::<Result<Vec<_>, _>>()?)
        };
        let all = events(&["--count", "3"]).await?;
        let ids: Vec<_> = all
            .iter()
            .map(|line| line["event"]["id"].as_u64())
            .collect();
        assert_eq!(ids, [Some(1), Some(2), Some(3)]);
        let first = all[0]["position"].as_str().ok_or("no position")?;
        assert_eq!(events(&["--count", "2", "--after", first]).await?, all[1..]);
        assert!(events(&["--count", "0"]).await?.is_empty());
        let none = braft(&[&["events", "Counter"], &at[..]].concat()).await;
        none.failed(1, &["emits no events"])?;
        node.shutdown(Duration::from_secs(5)).await;
        Ok(())
    })
    .await;
}
