//! What a person does, and what tools are told, where nodes ask for tokens.

use std::net::Ipv4Addr;
use std::time::Duration;

use braft::testing::TestResult;
use braft::{Config, Node};
use serde_json::Value;
use tests::{Board, Counter};

use crate::ask::{get, post};
use crate::browser::Browser;
use crate::programs::has;
use crate::run;

pub(crate) const READER: &str = "what-the-reader-has-to-show";
pub(crate) const WRITER: &str = "what-the-writer-has-to-show";

/// One node that asks for tokens, and where it keeps its data.
pub(crate) async fn start() -> TestResult<(Node, tempfile::TempDir)> {
    let data = tempfile::tempdir()?;
    let tokens = data.path().join("tokens");
    let text = format!("read grafana {READER}\nwrite shop {WRITER}\n");
    std::fs::write(&tokens, text)?;
    let join = data.path().join("join");
    std::fs::write(&join, "the-secret-of-the-members")?;
    let config = Config::new()
        .service::<Counter>()
        .service::<Board>()
        .tokens_file(tokens)
        .join_token_file(join)
        .data_dir(data.path().join("node"))
        .ip(Ipv4Addr::LOCALHOST.into())
        .raft_port(0)
        .http_port(0)
        .expect_nodes(1)
        .segment_bytes(2 << 20);
    let node = braft::start(config).await?;
    node.ready().await;
    Ok((node, data))
}

pub(crate) fn url(node: &Node) -> TestResult<String> {
    let address = node.http_address().ok_or("no HTTP")?;
    Ok(format!("http://{address}"))
}

#[test]
fn what_the_description_says_of_tokens_is_what_is_asked() {
    run(async {
        let (node, _data) = start().await?;
        let shown = |token: &str| format!("Bearer {token}");
        let described = get("/openapi.json").header("authorization", &shown(READER));
        let document = described.of(&node).await.json();
        assert_eq!(
            document["components"]["securitySchemes"]["token"]["scheme"],
            "bearer"
        );
        let mut asked = 0;
        for (path, operations) in document["paths"].as_object().ok_or("no paths")? {
            for (method, operation) in operations.as_object().ok_or("no operations")? {
                // The stream of events goes on.
                let is_stream = path.ends_with("/events");
                let ask = || match method.as_str() {
                    "get" => get(path),
                    _ => post(path, "{}"),
                };
                ask().of(&node).await.problem(401, "rejected");
                let role = operation["security"][0]["token"][0].as_str();
                let role = role.ok_or_else(|| format!("{method} {path} names no role"))?;
                assert!(operation["responses"]["401"].is_object(), "{path}");
                if role == "write" {
                    let reader = ask().header("authorization", &shown(READER));
                    reader.of(&node).await.problem(403, "rejected");
                } else if !is_stream {
                    let reader = ask().header("authorization", &shown(READER));
                    let status = reader.of(&node).await.status;
                    assert!(status == 200 || status == 400, "{method} {path}: {status}");
                }
                asked += 1;
            }
        }
        assert!(asked > 10, "{asked}");
        node.shutdown(Duration::from_secs(5)).await;
        Ok(())
    });
}

#[test]
fn a_person_shows_a_token_to_the_pages_in_a_browser() {
    run(async {
        if !has("python3").await || !has("chromium").await {
            return Ok(());
        }
        let (node, _data) = start().await?;
        let url = url(&node)?;
        let mut browser = Browser::start()?;
        // The browser asks; its user answers with any name, and the token.
        browser.tell(&format!("login me {READER}")).await?;
        browser.tell(&format!("open {url}/")).await?;
        browser
            .tell(r#"wait document.getElementById("health").textContent === "healthy""#)
            .await?;

        browser.tell(&format!("open {url}/v1")).await?;
        browser
            .tell("wait !!document.querySelector('details:not(#old)')")
            .await?;
        let is_there = "eval !document.getElementById('showing').hidden";
        assert_eq!(browser.tell(is_there).await?, Value::Bool(true));
        // The page's operation of this path, opened; what it says is in its last element.
        let open = |path: &str| {
            format!(
                "eval window.part = [...document.querySelectorAll('details')].find(one => \
                 one.querySelector('code').textContent === '{path}'), part.open = true"
            )
        };
        let called = |arguments: &str, begin: &str| {
            [
                open("/v1/Counter/add"),
                format!("eval part.querySelector('textarea').value = '{arguments}'"),
                "eval part.querySelector('button').click()".to_owned(),
                format!("wait part.querySelector('pre').textContent.startsWith('{begin}')"),
            ]
        };
        for line in called(r#"{"by":3}"#, "403") {
            browser.tell(&line).await?;
        }
        // Another token, for this tab.
        let token = format!("eval document.getElementById('token').value = '{WRITER}'");
        browser.tell(&token).await?;
        browser
            .tell("eval document.querySelectorAll('details').forEach(one => one.id = 'old'), document.querySelector('#showing button').click()")
            .await?;
        browser
            .tell("wait document.getElementById('token').placeholder === 'shown'")
            .await?;
        browser
            .tell("wait !!document.querySelector('details:not(#old)')")
            .await?;
        for line in called(r#"{"by":3}"#, "200") {
            browser.tell(&line).await?;
        }
        assert_eq!(node.client::<Counter>().get().await?, 3);
        let address = browser.tell("eval location.href").await?;
        assert_eq!(address, Value::String(format!("{url}/v1")));

        // The stream of events, to which EventSource could show no token.
        browser.tell(&open("/v1/Board/events")).await?;
        let board = node.client::<Board>();
        let at = tests::Spot { x: 1, y: 2 };
        board.pin("hi", tests::Color::White, at, None).await??;
        browser
            .tell(r#"wait part.querySelector('pre').textContent.includes('"id":1')"#)
            .await?;
        assert_eq!(browser.tell("complaints").await?, serde_json::json!([]));
        node.shutdown(Duration::from_secs(5)).await;
        Ok(())
    });
}
