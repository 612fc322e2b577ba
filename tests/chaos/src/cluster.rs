//! The nodes: processes, each on a disk and, where it may be, on a host of its own.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tests::netns::Switched;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::disk::Disk;
use crate::tools::Tools;

const RAFT_PORT: u16 = 15_000;
const HTTP_PORT: u16 = 15_002;
/// The longest a node may take to say what it is.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// The last lines of a node's log that are shown.
const LAST_LINES: usize = 6;
/// Small ones, so that snapshots and purges are part of it.
const SETTINGS: [(&str, &str); 5] = [
    ("BRAFT_SEGMENT_BYTES", "4194304"),
    ("BRAFT_SNAPSHOT_EVERY", "1500"),
    ("BRAFT_KEEP_LOG_ENTRIES", "300"),
    ("BRAFT_DISK_RESERVE_BYTES", "33554432"),
    ("BRAFT_CLUSTER", "chaos"),
];

const CONTROL_BYTES: usize = 56;
/// The timers that a node has by default, in milliseconds.
const TIMERS: [(&str, u32); 3] = [
    ("BRAFT_HEARTBEAT_MS", 100),
    ("BRAFT_ELECTION_MIN_MS", 300),
    ("BRAFT_ELECTION_MAX_MS", 600),
];

/// Places in a node's control file, in the order of `preload.c`.
#[derive(Clone, Copy)]
pub(crate) enum Control {
    WallMs = 0,
    FailSync = 1,
    SlowSyncMs = 2,
    Failed = 3,
    Lie = 4,
    Slowed = 5,
    Moved = 6,
}

struct Node {
    disk: Disk,
    control: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

/// What a node says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) leads: bool,
    pub(crate) members: usize,
    pub(crate) voters: usize,
    /// What is wrong with it, if it says so.
    pub(crate) trouble: Option<String>,
}

/// All nodes; killed when this is dropped.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    ips: Vec<IpAddr>,
    preload: Option<PathBuf>,
    /// How many times longer than by default the timers of the nodes are.
    timers: u32,
    /// Runs where the clients are: their host, if there are hosts.
    pub(crate) runtime: Runtime,
    pub(crate) network: Option<Switched>,
}

impl Cluster {
    /// Starts the nodes, each with an empty disk; on a lying one, syncs do nothing.
    pub(crate) fn start(
        nodes: usize,
        (timers, lying): (u32, bool),
        tools: &Tools,
        directory: &Path,
        seed: u64,
    ) -> io::Result<Self> {
        let network = tools
            .has_hosts
            .then(|| Switched::new(nodes + 1, seed))
            .transpose()?;
        let runtime = || {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
        };
        let runtime = match &network {
            // Its threads are made on the clients' host, and stay there.
            Some(network) => network.hosts()[nodes].enter(runtime)?,
            None => runtime()?,
        };
        let ips = match &network {
            Some(network) => network.hosts()[..nodes]
                .iter()
                .map(|host| host.ip())
                .collect(),
            None => loopback(nodes),
        };
        let mut cluster = Cluster {
            nodes: Vec::new(),
            ips,
            preload: tools.preload.clone(),
            timers,
            runtime,
            network,
        };
        for number in 0..nodes {
            let control = directory.join(format!("control-{number}"));
            fs::write(&control, [0; CONTROL_BYTES])?;
            cluster.nodes.push(Node {
                disk: Disk::new(tools.disks, directory, number)?,
                control,
                log: directory.join(format!("node-{number}.log")),
                child: None,
            });
        }
        for node in 0..nodes {
            cluster.set(node, Control::Lie, i64::from(lying))?;
            cluster.restart(node)?;
        }
        Ok(cluster)
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn address(&self, node: usize) -> String {
        SocketAddr::new(self.ips[node], RAFT_PORT).to_string()
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        (0..self.len()).map(|node| self.address(node)).collect()
    }

    pub(crate) fn disk(&mut self, node: usize) -> &mut Disk {
        &mut self.nodes[node].disk
    }

    pub(crate) fn is_up(&self, node: usize) -> bool {
        self.nodes[node].child.is_some()
    }

    /// Starts a node on the data it has, if it is not up.
    pub(crate) fn restart(&mut self, node: usize) -> io::Result<()> {
        if self.is_up(node) {
            return Ok(());
        }
        let mut command = self.command(node)?;
        let node = &mut self.nodes[node];
        let log = File::options().create(true).append(true).open(&node.log)?;
        node.child = Some(command.stderr(log).spawn()?);
        Ok(())
    }

    fn command(&self, node: usize) -> io::Result<Command> {
        let program = std::env::current_exe()?;
        let mut command = match &self.network {
            Some(network) => network.hosts()[node].command_with_our_mounts(program),
            None => Command::new(program),
        };
        // What the surrounding shell has set must not reach the nodes.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("BRAFT_")) {
                command.env_remove(name);
            }
        }
        command
            .arg("node")
            .envs(SETTINGS)
            .env("BRAFT_IP", self.ips[node].to_string())
            .env("BRAFT_RPORT", RAFT_PORT.to_string())
            .env("BRAFT_HPORT", HTTP_PORT.to_string())
            .env("BRAFT_DISCOVERY", self.addresses().join(","))
            .env("BRAFT_EXPECT", self.len().to_string())
            .env("BRAFT_DATA_DIR", self.nodes[node].disk.data_dir())
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        for (name, ms) in TIMERS {
            command.env(name, (ms * self.timers).to_string());
        }
        if let Some(preload) = &self.preload {
            command
                .env("LD_PRELOAD", preload)
                .env("CHAOS_CONTROL", &self.nodes[node].control);
        }
        Ok(command)
    }

    pub(crate) fn signal(&self, node: usize, signal: Signal) -> io::Result<()> {
        match &self.nodes[node].child {
            Some(child) => Ok(kill_process(Pid::from_child(child), signal)?),
            None => Ok(()),
        }
    }

    /// `SIGKILL` of some nodes: all signals are sent before anything is waited for.
    pub(crate) fn kill(&mut self, nodes: &[usize]) -> io::Result<()> {
        for node in nodes {
            if let Some(child) = &mut self.nodes[*node].child {
                child.kill()?;
            }
        }
        for node in nodes {
            if let Some(mut child) = self.nodes[*node].child.take() {
                child.wait()?;
            }
        }
        Ok(())
    }

    /// Whether a node has ended by itself since this was last asked.
    pub(crate) fn has_ended(&mut self, node: usize) -> io::Result<bool> {
        let child = &mut self.nodes[node].child;
        let ended = match child {
            Some(child) => child.try_wait()?.is_some(),
            None => false,
        };
        if ended {
            *child = None;
        }
        Ok(ended)
    }

    pub(crate) fn set(&self, node: usize, place: Control, value: i64) -> io::Result<()> {
        let file = File::options()
            .write(true)
            .open(&self.nodes[node].control)?;
        file.write_all_at(&value.to_ne_bytes(), 8 * place as u64)
    }

    pub(crate) fn get(&self, node: usize, place: Control) -> io::Result<i64> {
        let mut value = [0; 8];
        File::open(&self.nodes[node].control)?.read_exact_at(&mut value, 8 * place as u64)?;
        Ok(i64::from_ne_bytes(value))
    }

    /// What each node says of itself; `None` where it says nothing.
    pub(crate) fn views(&self) -> Vec<Option<View>> {
        let asked = (0..self.len()).map(|node| {
            let to = SocketAddr::new(self.ips[node], HTTP_PORT);
            let pid = self.nodes[node].child.as_ref().map(Child::id);
            self.runtime.spawn(async move { view(to, pid?).await })
        });
        let asked: Vec<_> = asked.collect();
        self.runtime.block_on(async {
            let mut views = Vec::new();
            for asked in asked {
                views.push(asked.await.ok().flatten());
            }
            views
        })
    }

    /// A node that says it leads.
    pub(crate) fn leader(&self) -> Option<usize> {
        let leads = |view: &Option<View>| view.as_ref().is_some_and(|view| view.leads);
        self.views().iter().position(leads)
    }

    /// The end of a node's log.
    pub(crate) fn last_words(&self, node: usize) -> String {
        let text = self.log(node);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n    ")
    }

    pub(crate) fn log(&self, node: usize) -> String {
        fs::read_to_string(&self.nodes[node].log).unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let all: Vec<_> = (0..self.len()).collect();
        // An error means that it has ended by itself.
        drop(self.kill(&all));
        for node in &mut self.nodes {
            drop(node.disk.remove());
        }
    }
}

/// Loopback addresses of this process alone.
fn loopback(nodes: usize) -> Vec<IpAddr> {
    let [a, b, ..] = std::process::id().to_le_bytes();
    let last = (1..).take(nodes);
    last.map(|last| IpAddr::from([127, b.clamp(1, 254), a, last]))
        .collect()
}

async fn view(to: SocketAddr, pid: u32) -> Option<View> {
    let asked = tokio::time::timeout(ANSWER_WITHIN, get(to, "/raft"));
    let overview: Value = serde_json::from_str(&asked.await.ok()?.ok()?).ok()?;
    let servers = overview["raftServers"].as_array()?;
    let votes = |server: &&Value| server["suffrage"] == "Voter";
    let all = overview["nodes"].as_array()?;
    let status = &all.iter().find(|node| node["pid"] == pid)?["status"];
    let says = |name: &str| status[name].as_str().map(ToOwned::to_owned);
    Some(View {
        leads: overview["currentLeader"] == true,
        members: servers.len(),
        voters: servers.iter().filter(votes).count(),
        trouble: says("diverged").or_else(|| says("halted")),
    })
}

/// The body of an answer over HTTP.
async fn get(to: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(to).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    Ok(body.unwrap_or_default().to_owned())
}
