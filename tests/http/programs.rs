//! Programs that are not written in Rust: Python with its standard library, and curl.

use std::process::Stdio;

use braft::testing::TestResult;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::nodes::Nodes;
use crate::run;

/// Whether a program is there. Where it is not a test says so, and passes.
pub(crate) async fn has(program: &str) -> bool {
    let asked = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let is_there = asked.await.is_ok_and(|status| status.success());
    if !is_there {
        println!("skipped: there is no {program} on this machine; install it to run this test");
    }
    is_there
}

pub(crate) fn urls(nodes: &Nodes) -> Vec<String> {
    let addresses = nodes.addresses().into_iter();
    let urls = addresses.filter_map(|address| {
        let (host, _) = address.rsplit_once(':')?;
        Some(format!("http://{host}:{}", crate::nodes::HTTP_PORT))
    });
    urls.collect()
}

/// Notes that are pinned, and leaders that are killed meanwhile.
const COUNT: usize = 40;
const KILL_AT: [usize; 2] = [10, 25];

#[test]
fn a_python_script_repeats_its_calls_through_the_death_of_leaders() {
    run(async {
        if !has("python3").await {
            return Ok(());
        }
        let mut nodes = Nodes::start(3, &[]).await?;
        let mut script = Command::new("python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/http/visit.py"))
            .arg(COUNT.to_string())
            .args(urls(&nodes))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = script.stdout.take().ok_or("no output")?;
        let mut lines = BufReader::new(output).lines();
        let mut last = String::new();
        while let Some(line) = lines.next_line().await? {
            if let Ok(at) = line.parse::<usize>()
                && KILL_AT.contains(&at)
            {
                let leader = nodes.leader().await?;
                nodes.kill(leader)?;
                nodes.leader().await?;
                nodes.restart(leader)?;
            }
            last = line;
        }
        assert!(
            script.wait().await?.success(),
            "the script failed at {last}"
        );
        assert_eq!(last, "done");
        Ok(())
    });
}

async fn curl(arguments: &[&str]) -> TestResult<(u16, Value)> {
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "20", "-w", "\n%{http_code}"])
        .args(arguments)
        .output()
        .await?;
    let text = String::from_utf8(output.stdout)?;
    let (body, status) = text.rsplit_once('\n').ok_or("no status")?;
    Ok((status.parse()?, serde_json::from_str(body)?))
}

#[test]
fn curl_calls_repeats_and_reads_events() {
    run(async {
        if !has("curl").await {
            return Ok(());
        }
        let nodes = Nodes::start(3, &[]).await?;
        let urls = urls(&nodes);
        let data = r#"{"text":"a","color":{"Named":"red"},"at":{"x":1,"y":2}}"#;
        for url in urls.iter().chain(&urls) {
            let pin = format!("{url}/v1/Board/pin");
            let (content, key) = (
                "content-type: application/json",
                "idempotency-key: 8e03978e",
            );
            let answer = curl(&["-H", content, "-H", key, "-d", data, &pin]).await?;
            assert_eq!(answer, (200, json!(1)));
        }
        let query = format!("{}/v1/Board/of_color", urls[1]);
        let color = r#"color={"Named":"red"}"#;
        let found = curl(&["-G", "--data-urlencode", color, &query]).await?;
        assert_eq!(found, (200, json!([1])));
        let refused = curl(&["-X", "POST", &format!("{}/v1/Board/clean", urls[2])]).await?;
        assert_eq!((refused.0, &refused.1["kind"]), (404, &json!("rejected")));

        let mut events = Command::new("curl")
            .args(["-sSN", &format!("{}/v1/Board/events", urls[2])])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = events.stdout.take().ok_or("no output")?;
        let mut lines = BufReader::new(output).lines();
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().await? {
            if line.is_empty() && !found.is_empty() {
                break;
            }
            found.push(line);
        }
        assert!(found[0].starts_with("id: "), "{found:?}");
        assert_eq!(found[1], r#"data: {"id":1,"at":{"x":1,"y":2}}"#);
        Ok(())
    });
}
