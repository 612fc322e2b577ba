//! A cluster of processes on loopback.

use std::fs::File;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use braft::Client;
use braft::testing::TestResult;
use serde_json::Value;
use tempfile::TempDir;
use tests::LedgerClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The longest anything may take; a test that hangs says what it waited for.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(10);
const RAFT_PORT: u16 = 15_000;
pub(crate) const HTTP_PORT: u16 = 15_002;

/// Nodes in processes of their own; ended when this is dropped.
pub(crate) struct Nodes {
    directory: TempDir,
    /// The first node's address; the others follow. Each has one of its own, so the ports are
    /// always free.
    first_ip: [u8; 4],
    initial: usize,
    settings: Vec<(&'static str, String)>,
    processes: Vec<Option<Child>>,
}

impl Nodes {
    /// Starts a cluster with further settings from the environment, and waits until it serves.
    pub(crate) async fn start(nodes: usize, settings: &[(&'static str, u64)]) -> TestResult<Self> {
        let settings = settings.iter();
        let settings = settings.map(|(name, value)| (*name, value.to_string()));
        Self::start_with(nodes, settings.collect()).await
    }

    /// The same with settings that are no numbers.
    pub(crate) async fn start_with(
        nodes: usize,
        settings: Vec<(&'static str, String)>,
    ) -> TestResult<Self> {
        let directory = tempfile::tempdir()?;
        let mut all = Nodes {
            directory,
            first_ip: own_addresses(),
            initial: nodes,
            settings,
            processes: Vec::new(),
        };
        for _ in 0..nodes {
            all.add()?;
        }
        all.leader().await?;
        Ok(all)
    }

    fn ip(&self, node: usize) -> String {
        let [a, b, c, d] = self.first_ip;
        format!("{a}.{b}.{c}.{}", usize::from(d) + node)
    }

    pub(crate) fn data_dir(&self, node: usize) -> PathBuf {
        self.directory.path().join(format!("node-{node}"))
    }

    pub(crate) fn log_file(&self, node: usize) -> PathBuf {
        self.directory.path().join(format!("node-{node}.log"))
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        (0..self.processes.len())
            .map(|node| format!("{}:{RAFT_PORT}", self.ip(node)))
            .collect()
    }

    pub(crate) async fn client(&self) -> TestResult<LedgerClient> {
        Ok(LedgerClient::connect(self.addresses()).await?)
    }

    /// Clients that share nothing.
    pub(crate) async fn clients(&self, count: usize) -> TestResult<Vec<LedgerClient>> {
        let mut clients = Vec::new();
        for _ in 0..count {
            clients.push(self.client().await?);
        }
        Ok(clients)
    }

    /// Starts one more node, with an empty disk.
    pub(crate) fn add(&mut self) -> TestResult<usize> {
        self.processes.push(None);
        let node = self.processes.len() - 1;
        self.restart(node)?;
        Ok(node)
    }

    /// Starts a node on the data it has.
    pub(crate) fn restart(&mut self, node: usize) -> TestResult {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file(node))?;
        let process = self.command(node).stderr(log).spawn()?;
        self.processes[node] = Some(process);
        Ok(())
    }

    /// Starts another process on the data of a running node, with ports of its own; says whether
    /// it ended well, and its last words.
    pub(crate) fn second_process(&self, node: usize) -> TestResult<(bool, String)> {
        let output = self
            .command(node)
            .env("BRAFT_RPORT", "0")
            .env("BRAFT_HPORT", "0")
            .stderr(Stdio::piped())
            .output()?;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok((output.status.success(), words))
    }

    fn command(&self, node: usize) -> Command {
        let initial = self.initial;
        let list: Vec<_> = (0..initial)
            .map(|node| format!("{}:{RAFT_PORT}", self.ip(node)))
            .collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_node"));
        command
            .env("BRAFT_IP", self.ip(node))
            .env("BRAFT_RPORT", RAFT_PORT.to_string())
            .env("BRAFT_HPORT", HTTP_PORT.to_string())
            .env("BRAFT_DISCOVERY", list.join(","))
            .env("BRAFT_EXPECT", initial.to_string())
            .env("BRAFT_CLUSTER", "processes")
            .env("BRAFT_DATA_DIR", self.data_dir(node))
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, node: usize) -> TestResult {
        let mut process = self.processes[node].take().ok_or("it is down already")?;
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// `kill -9` of all at the same moment: all signals are sent before anything is waited for.
    pub(crate) fn kill_all(&mut self) -> TestResult {
        for process in self.processes.iter_mut().flatten() {
            process.kill()?;
        }
        for process in &mut self.processes {
            if let Some(mut process) = process.take() {
                process.wait()?;
            }
        }
        Ok(())
    }

    pub(crate) fn pid(&self, node: usize) -> Option<u32> {
        self.processes[node].as_ref().map(Child::id)
    }

    /// Waits for the node that says it leads.
    pub(crate) async fn leader(&self) -> TestResult<usize> {
        self.wait("a leader", || async {
            for node in 0..self.processes.len() {
                if self.processes[node].is_none() {
                    continue;
                }
                let leads = self.overview(node).await;
                if leads.is_some_and(|overview| overview["currentLeader"] == true) {
                    return Some(node);
                }
            }
            None
        })
        .await
    }

    /// What a node answers to `GET /raft`.
    pub(crate) async fn overview(&self, node: usize) -> Option<Value> {
        serde_json::from_str(&self.get(node, "/raft").await?).ok()
    }

    /// The body of a node's HTTP answer; `None` if it gives none, or not 200.
    pub(crate) async fn get(&self, node: usize, path: &str) -> Option<String> {
        const ANSWER_WITHIN: Duration = Duration::from_secs(2);
        let asked = async {
            let mut stream = tokio::net::TcpStream::connect((self.ip(node), HTTP_PORT)).await?;
            let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let answer = tokio::time::timeout(ANSWER_WITHIN, asked)
            .await
            .ok()?
            .ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
    }

    /// Looks again and again until there is something to see.
    pub(crate) async fn wait<T, Fut: Future<Output = Option<T>>>(
        &self,
        what: &str,
        mut look: impl FnMut() -> Fut,
    ) -> TestResult<T> {
        let looking = async {
            loop {
                if let Some(seen) = look().await {
                    return seen;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        match tokio::time::timeout(PATIENCE, looking).await {
            Ok(seen) => Ok(seen),
            Err(_) => Err(format!(
                "waited {PATIENCE:?} in vain for {what}\n{}",
                self.last_words()
            ))?,
        }
    }

    /// The ends of the nodes' logs.
    fn last_words(&self) -> String {
        const LINES: usize = 15;
        let tail = |node| {
            let text = std::fs::read_to_string(self.log_file(node)).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            let from = lines.len().saturating_sub(LINES);
            format!("node {node}:\n{}\n", lines[from..].join("\n"))
        };
        (0..self.processes.len()).map(tail).collect()
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().flatten() {
            // An error means that it has ended by itself.
            drop(process.kill());
            drop(process.wait());
        }
    }
}

/// The first of a few loopback addresses that no other test uses: by process, and in a process by
/// turn.
fn own_addresses() -> [u8; 4] {
    const NODES_AT_MOST: u8 = 8;
    static TURN: AtomicU8 = AtomicU8::new(0);
    let [a, b, ..] = std::process::id().to_le_bytes();
    let turn = TURN.fetch_add(1, Ordering::Relaxed) % (u8::MAX / NODES_AT_MOST);
    [127, b.clamp(1, 254), a, 1 + turn * NODES_AT_MOST]
}

/// Bytes that the files below a directory take on the disk.
pub(crate) fn disk_bytes(directory: &Path) -> TestResult<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() {
            disk_bytes(&entry.path())?
        } else {
            // A file may go while this looks: a purged segment, an old snapshot.
            entry.metadata().map_or(0, |metadata| metadata.len())
        };
    }
    Ok(bytes)
}

/// Resident memory of a process.
pub(crate) fn resident_bytes(pid: u32) -> TestResult<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    Ok(kib.ok_or("no VmRSS in the status of the process")? * 1024)
}
