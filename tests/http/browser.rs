//! A real browser, without a window.

use std::process::Stdio;

use braft::testing::TestResult;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A browser, told what to do line by line (`browse.py`).
pub(crate) struct Browser {
    _process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    pub(crate) fn start() -> TestResult<Self> {
        let mut process = Command::new("python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/http/browse.py"))
            .arg("chromium")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        Ok(Browser {
            input: process.stdin.take().ok_or("no input")?,
            output: BufReader::new(process.stdout.take().ok_or("no output")?).lines(),
            _process: process,
        })
    }

    pub(crate) async fn tell(&mut self, command: &str) -> TestResult<Value> {
        self.input
            .write_all(format!("{command}\n").as_bytes())
            .await?;
        let answer = self.output.next_line().await?;
        let answer = answer.ok_or_else(|| format!("the browser gave up: {command}"))?;
        Ok(serde_json::from_str(&answer)?)
    }
}
