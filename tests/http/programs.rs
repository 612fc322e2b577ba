//! Programs that are not written in Rust: Python with its standard library, and curl.

use std::path::{Path, PathBuf};
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

/// Runs a script that counts on its output as it goes on, and kills leaders meanwhile.
async fn through_deaths_of_leaders(mut script: Command, nodes: &mut Nodes) -> TestResult {
    let mut script = script.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
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
}

#[test]
fn a_python_script_repeats_its_calls_through_the_death_of_leaders() {
    run(async {
        if !has("python3").await {
            return Ok(());
        }
        let mut nodes = Nodes::start(3, &[]).await?;
        let mut script = Command::new("python3");
        script
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/http/visit.py"))
            .arg(COUNT.to_string())
            .args(urls(&nodes));
        through_deaths_of_leaders(script, &mut nodes).await
    });
}

/// Where the packages of `grpc.txt` are; `None` where they cannot be had.
async fn packages() -> TestResult<Option<PathBuf>> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("grpc");
    if place.exists() {
        return Ok(Some(place));
    }
    // Renamed once all is there: an installation that was broken off is begun anew.
    let new = place.with_extension("new");
    let wanted = concat!(env!("CARGO_MANIFEST_DIR"), "/http/grpc.txt");
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    let installed = Command::new("python3")
        .args(pip)
        .args(["--upgrade", "-r", wanted, "--target"])
        .arg(&new)
        .stdin(Stdio::null())
        .output()
        .await?;
    if !installed.status.success() {
        let said = String::from_utf8_lossy(&installed.stderr);
        println!("skipped: the packages of tests/http/grpc.txt cannot be installed: {said}");
        return Ok(None);
    }
    std::fs::rename(new, &place)?;
    Ok(Some(place))
}

#[test]
fn a_python_program_calls_over_grpc_through_the_death_of_leaders() {
    run(async {
        if !has("python3").await {
            return Ok(());
        }
        let Some(packages) = packages().await? else {
            return Ok(());
        };
        let mut nodes = Nodes::start(3, &[]).await?;
        let mut script = Command::new("python3");
        script
            .arg("-B")
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../",
                "examples/python/client.py"
            ))
            .arg(COUNT.to_string())
            .args(nodes.addresses())
            .env("PYTHONPATH", packages)
            // Its own lines about connections that are lost.
            .env("GRPC_VERBOSITY", "NONE");
        through_deaths_of_leaders(script, &mut nodes).await
    });
}

/// The words in the first column of the tables of a page.
fn first_column(page: &str) -> impl Iterator<Item = &str> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split('|').next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2))
}

#[test]
fn the_page_on_grpc_names_what_is_in_the_protocol() {
    run(async {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let page = std::fs::read_to_string(root.join("docs/grpc.md"))?;
        let protocol = std::fs::read_to_string(root.join("proto/braft/v1/client.proto"))?;
        let (_, messages) = page.split_once("## A call").ok_or("no calls")?;
        let mut words = 0;
        for word in first_column(messages) {
            let parts = word.split(['.', ' ']);
            for part in parts.filter(|part| !part.is_empty()) {
                let is_there = protocol.split(|c: char| !c.is_alphanumeric() && c != '_');
                assert!(is_there.into_iter().any(|known| known == part), "{part}");
                words += 1;
            }
        }
        assert!(words > 20, "{words}");
        // Nor does it leave out a field of what callers send and get.
        for message in [
            "CallRequest",
            "Command",
            "Query",
            "AnswerFrame",
            "LeaderNews",
            "CallAnswer",
            "CallError",
            "EventsFrame",
        ] {
            let (_, rest) = protocol
                .split_once(&format!("message {message} {{"))
                .ok_or(message)?;
            let (fields, _) = rest.split_once("\n}").ok_or(message)?;
            let fields = fields.lines().filter(|line| !line.trim().starts_with("//"));
            let names = fields.filter_map(|line| line.split_once(" = ")?.0.split(' ').next_back());
            for name in names {
                assert!(page.contains(&format!("`{name}`")), "{message}.{name}");
            }
        }
        assert!(page.contains("(../examples/python/client.py)"));
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
