//! What nodes log: nothing of what callers send, at whatever level.

use std::collections::BTreeMap;

use braft::Client;
use braft::testing::TestResult;
use serde_json::json;
use tests::{BoardClient, LedgerClient};

use crate::nodes::Nodes;
use crate::run;

/// What nobody else would write.
const SECRET: &str = "marked-word-of-a-caller";

/// How bytes may be written where somebody prints them: as text, or as numbers.
fn traces_of(secret: &str) -> [String; 3] {
    let decimal: Vec<_> = secret.bytes().map(|byte| byte.to_string()).collect();
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    [secret.to_owned(), decimal.join(", "), hex]
}

#[test]
fn no_log_line_bears_what_callers_send_at_whatever_level() {
    run(async {
        let filter = "trace,hyper=info,h2=info,tower=info,mio=info".to_owned();
        let settings = vec![
            ("RUST_LOG", filter),
            ("BRAFT_SNAPSHOT_EVERY", "20".to_owned()),
        ];
        let mut nodes = Nodes::start_with(3, settings).await?;
        let ledger = nodes.client().await?;
        for id in 0..30 {
            ledger.record(id, SECRET).await?;
        }
        assert_eq!(ledger.count().await?, 30);
        let board = BoardClient::connect(nodes.addresses()).await?;
        let names = [(1, SECRET.to_owned())].into();
        let bytes = SECRET.as_bytes().to_vec();
        board.echo(0, 0, bytes, BTreeMap::new(), names).await?;
        // What is refused, and may be told of.
        let wrong = json!({ "id": SECRET, SECRET: 1 }).to_string();
        for path in ["/v1/Ledger/record", "/v1/Ledger/nothing"] {
            let at = nodes.addresses()[0].replace(":15000", ":15002");
            drop(post(&at, path, &wrong).await?);
        }
        // And what a node reads back from its disk.
        let down = nodes.leader().await?;
        nodes.kill(down)?;
        nodes.restart(down)?;
        nodes.leader().await?;
        let ledger = LedgerClient::connect(nodes.addresses()).await?;
        assert_eq!(ledger.count().await?, 30);

        let mut seen_at_work = false;
        for node in 0..3 {
            let log = std::fs::read_to_string(nodes.log_file(node))?;
            seen_at_work |= log.contains("a command is carried out");
            for text in traces_of(SECRET) {
                let line = log.lines().find(|line| line.contains(&text));
                assert_eq!(line, None, "node {node}");
            }
        }
        assert!(seen_at_work, "the logs are not those of the lowest level");
        Ok(())
    });
}

async fn post(at: &str, path: &str, body: &str) -> TestResult<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(at).await?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\ncontent-type: application/json\r\n\
         idempotency-key: {SECRET}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
