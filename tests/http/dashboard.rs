//! The page at `/`, in a real browser, and the stream it lives on.

use axum::body::Body;
use axum::http::Request;
use braft::http::axum;
use braft::testing::{Cluster, TestNode, TestResult};
use futures_util::StreamExt;
use serde_json::Value;
use tests::Counter;
use tower::ServiceExt;

use crate::ask::get;
use crate::browser::Browser;
use crate::nodes::Nodes;
use crate::programs::{has, urls};
use crate::run;

/// Those who may watch one node at once.
const MAX_WATCHERS: usize = 32;

#[test]
fn the_page_shows_the_cluster_in_a_browser_and_says_when_a_node_is_gone() {
    run(async {
        if !has("python3").await || !has("chromium").await {
            return Ok(());
        }
        let mut nodes = Nodes::start(3, &[]).await?;
        let leader = nodes.leader().await?;
        let (seen_from, other) = ((leader + 1) % 3, (leader + 2) % 3);
        let url = &urls(&nodes)[seen_from];
        let mut browser = Browser::start()?;
        browser.tell("size 1280 900").await?;
        browser.tell(&format!("open {url}/")).await?;
        let well = r#"wait document.querySelectorAll('#members .tag.good').length === 3"#;
        browser.tell(well).await?;
        browser
            .tell(r#"wait document.getElementById("health").textContent === "healthy""#)
            .await?;
        let services = r#"eval document.getElementById("services").textContent"#;
        let services = browser.tell(services).await?;
        assert!(
            services
                .as_str()
                .is_some_and(|text| text.contains("Counter")),
            "{services}"
        );

        let ground = "eval getComputedStyle(document.body).backgroundColor";
        browser.tell("theme light").await?;
        let light = browser.tell(ground).await?;
        browser.tell("theme dark").await?;
        assert_ne!(browser.tell(ground).await?, light);
        // On a phone nothing is wider than the screen.
        browser.tell("size 360 740").await?;
        let width = "eval document.documentElement.scrollWidth";
        assert_eq!(browser.tell(width).await?, 360);

        nodes.kill(other)?;
        browser
            .tell(r#"wait document.querySelectorAll('#members .tag.bad').length === 1"#)
            .await?;
        let sentence = r#"eval document.getElementById("sentence").textContent"#;
        let sentence = browser.tell(sentence).await?;
        assert!(
            sentence
                .as_str()
                .is_some_and(|text| text.contains("2 of 3")),
            "{sentence}"
        );

        nodes.kill(seen_from)?;
        browser
            .tell(r#"wait !document.getElementById("gone").hidden"#)
            .await?;
        nodes.restart(seen_from)?;
        browser
            .tell(r#"wait document.getElementById("gone").hidden"#)
            .await?;
        // Nothing that its policy forbids, and no script that failed.
        assert_eq!(browser.tell("complaints").await?, serde_json::json!([]));
        Ok(())
    });
}

#[braft::test(nodes = 3)]
async fn one_stream_tells_of_all_nodes_and_watchers_are_bounded(
    cluster: Cluster<Counter>,
) -> TestResult {
    for node in 0..3 {
        cluster.node(TestNode(node))?.ready().await;
    }
    let node = cluster.node(TestNode(0))?;
    node.client::<Counter>().add(1).await??;
    let watch = async || {
        let request = Request::get("/dashboard/events")
            .body(Body::empty())
            .expect("a request");
        let response = Box::pin(node.router().oneshot(request)).await;
        response.unwrap_or_else(|never| match never {})
    };
    let first = watch().await;
    assert_eq!(first.headers()["content-type"], "text/event-stream");
    let mut first = first.into_body().into_data_stream();
    let look = first.next().await.ok_or("no look")??;
    let look = std::str::from_utf8(&look)?.trim();
    let look: Value = serde_json::from_str(look.strip_prefix("data: ").ok_or("no data")?)?;
    let all = look["nodes"].as_array().ok_or("no nodes")?;
    assert_eq!(all.len(), 3, "{look}");
    assert_eq!(look["node"], node.status().node_id);
    let answered = all
        .iter()
        .map(|node| node["figures"]["commands"]["answered"].as_u64());
    assert_eq!(
        answered.map(Option::unwrap_or_default).sum::<u64>(),
        1,
        "{look}"
    );
    assert!(all.iter().all(|node| node["status"]["biz_data"].is_null()));

    let mut others = Vec::new();
    for _ in 1..MAX_WATCHERS {
        others.push(watch().await);
    }
    assert!(others.iter().all(|other| other.status() == 200));
    assert_eq!(watch().await.status(), 429);
    drop(others.pop());
    assert_eq!(watch().await.status(), 200);
    drop((first, others));
    // Whoever comes after all have gone sees what is so then.
    let again = watch().await;
    assert!(again.into_body().into_data_stream().next().await.is_some());
    Ok(())
}

#[braft::test(nodes = 1)]
async fn the_page_asks_nobody_else_and_runs_nothing_but_its_own(
    cluster: Cluster<Counter>,
) -> TestResult {
    let node = cluster.node(TestNode(0))?;
    let [page, again] = [get("/").of(&node).await, get("/dashboard").of(&node).await];
    let policy = page.header("content-security-policy");
    let nonce = policy
        .split("'nonce-")
        .nth(1)
        .and_then(|rest| rest.split('\'').next());
    let nonce = nonce.ok_or("no nonce")?;
    assert_eq!(nonce.len(), 32);
    assert!(
        policy.starts_with("default-src 'none'; connect-src 'self';"),
        "{policy}"
    );
    assert_ne!(policy, again.header("content-security-policy"));
    let mine = format!(" nonce=\"{nonce}\"");
    assert_eq!(page.text.matches(&mine).count(), 2);
    assert_eq!(page.text.replace(&mine, "").matches("nonce").count(), 0);
    // The name of SVG is no address.
    let text = page.text.replace("http://www.w3.org/2000/svg", "");
    assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("src="));
    Ok(())
}
