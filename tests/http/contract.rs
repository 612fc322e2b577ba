//! The description of the services: valid, and kept by what is served.
//!
//! `CONTRACT_EXAMPLES=500` makes it thorough. Needs Python, and its package index or what was installed
//! before; without them the test says so, and passes.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use braft::testing::TestResult;
use serde_json::Value;
use tokio::process::Command;

use crate::nodes::Nodes;
use crate::programs::{has, urls};
use crate::run;
use crate::tokens;

/// What the script ends with where the programs cannot be had.
const NOT_THERE: i32 = 77;
/// Calls made up for each operation in each phase.
const EXAMPLES: &str = "4";

/// Checks the node at `url`, and calls it so many times; false where the programs cannot be had.
async fn keeps(url: &str, token: &str, examples: &str) -> TestResult<bool> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("contract");
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/http/contract.sh"))
        .args([url, place.to_str().ok_or("no text")?, examples])
        .env("TOKEN", token)
        .stdin(Stdio::null())
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(NOT_THERE) {
        println!(
            "skipped: the packages of tests/http/contract.txt cannot be installed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        return Ok(false);
    }
    println!("{said}");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(true)
}

#[test]
fn what_is_served_keeps_to_the_description_of_it() {
    run(async {
        if !has("python3").await || !has("curl").await {
            return Ok(());
        }
        let nodes = Nodes::start(3, &[]).await?;
        let examples = std::env::var("CONTRACT_EXAMPLES").unwrap_or_else(|_| EXAMPLES.to_owned());
        if !keeps(&urls(&nodes)[1], "", &examples).await? {
            return Ok(());
        }
        drop(nodes);
        // The same where tokens are asked for, and refused without one.
        let (node, _data) = tokens::start().await?;
        keeps(&tokens::url(&node)?, tokens::WRITER, "1").await?;
        node.shutdown(Duration::from_secs(5)).await;
        Ok(())
    });
}

#[test]
fn the_page_asks_its_own_node_alone() {
    run(async {
        let nodes = Nodes::start(1, &[]).await?;
        let page = nodes.get(0, "/v1").await.ok_or("no page")?;
        assert!(page.starts_with("<!doctype html>"));
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("src="));
        let document = nodes.get(0, "/openapi.json").await.ok_or("no document")?;
        let document: Value = serde_json::from_str(&document)?;
        assert_eq!(
            document["paths"]["/v1/Counter/add"]["post"]["summary"],
            "Adds `by` and returns the new total."
        );
        // One type says itself what it is, another one does not.
        let schemas = &document["components"]["schemas"];
        assert_eq!(schemas["Spot"]["description"], "A place on the board.");
        assert!(schemas["Color"]["oneOf"].is_array() && schemas["Color"]["description"].is_null());
        Ok(())
    });
}
