//! The description of the services: valid, and kept by what is served.
//!
//! `CONTRACT_EXAMPLES=500` makes it thorough. Needs Python, and its package index or what was installed
//! before; without them the test says so, and passes.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::nodes::Nodes;
use crate::programs::{has, urls};
use crate::run;

/// What the script ends with where the programs cannot be had.
const NOT_THERE: i32 = 77;
/// Calls made up for each operation in each phase.
const EXAMPLES: &str = "4";

#[test]
fn what_is_served_keeps_to_the_description_of_it() {
    run(async {
        if !has("python3").await || !has("curl").await {
            return Ok(());
        }
        let nodes = Nodes::start(3, &[]).await?;
        let examples = std::env::var("CONTRACT_EXAMPLES").unwrap_or_else(|_| EXAMPLES.to_owned());
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("contract");
        let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/http/contract.sh"))
            .arg(&urls(&nodes)[1])
            .arg(&place)
            .arg(examples)
            .stdin(Stdio::null())
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stdout);
        if output.status.code() == Some(NOT_THERE) {
            println!(
                "skipped: the packages of tests/http/contract.txt cannot be installed: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            return Ok(());
        }
        println!("{said}");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
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
        Ok(())
    });
}
