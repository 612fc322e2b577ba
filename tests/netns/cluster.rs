//! Node processes on the hosts of a network.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use braft::Client;
use braft::testing::TestResult;
use serde_json::Value;
use tempfile::TempDir;
use tests::LedgerClient;
use tests::netns::{Family, Host, Lan, why_not};

/// The longest anything may take; a test that hangs says what it waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const RAFT_PORT: u16 = 15_000;

/// Runs a test on a network of hosts, or says why it is skipped.
pub(crate) fn on_lan(hosts: u8, family: Family, test: impl FnOnce(&mut Cluster) -> TestResult) {
    if let Some(why) = why_not() {
        return println!("skipped: {why}");
    }
    let run = || -> TestResult {
        let mut cluster = Cluster {
            nodes: Vec::new(),
            directory: tempfile::tempdir()?,
            lan: Lan::new(hosts, family)?,
        };
        test(&mut cluster).inspect_err(|_| eprintln!("{}", cluster.last_words()))
    };
    run().unwrap_or_else(|error| panic!("{error}"));
}

/// Hosts and the nodes on them. Processes end before their hosts do.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    directory: TempDir,
    pub(crate) lan: Lan,
}

/// A node: where it is, and how it is started.
struct Node {
    host: usize,
    port: u16,
    settings: Vec<(String, String)>,
    process: Option<Child>,
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) leads: bool,
    /// The leader's address; empty if none is known.
    pub(crate) leader: String,
    /// Empty before the node is in a cluster.
    pub(crate) cluster_id: String,
    pub(crate) members: usize,
    pub(crate) voters: usize,
    pub(crate) term: u64,
    /// What it waits for while it has no cluster.
    pub(crate) formation: String,
}

impl Cluster {
    /// Starts a node on a host with these settings; the address is what the node finds out.
    pub(crate) fn start(&mut self, host: usize, settings: &[(&str, &str)]) -> TestResult<usize> {
        let node = self.prepare(host, settings)?;
        self.restart(node)?;
        Ok(node)
    }

    /// As [`Cluster::start`], but leaves the start to [`Cluster::spawn`].
    pub(crate) fn prepare(&mut self, host: usize, settings: &[(&str, &str)]) -> TestResult<usize> {
        let taken = self.nodes.iter().filter(|node| node.host == host).count();
        let port = RAFT_PORT + 1_000 * u16::try_from(taken)?;
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self.nodes.push(Node {
            host,
            port,
            settings,
            process: None,
        });
        Ok(self.nodes.len() - 1)
    }

    /// Starts a node on the data it has.
    pub(crate) fn restart(&mut self, node: usize) -> TestResult {
        let host = &self.lan.hosts()[self.nodes[node].host];
        self.spawn(node, host.command(env!("CARGO_BIN_EXE_node")))
    }

    /// Starts a node on the data it has, by a command of the test's own.
    pub(crate) fn spawn(&mut self, node: usize, mut command: Command) -> TestResult {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file(node))?;
        let data_dir = self.data_dir(node);
        let node = &mut self.nodes[node];
        let process = command
            .env("BRAFT_RPORT", node.port.to_string())
            .env("BRAFT_DATA_DIR", data_dir)
            .env("BRAFT_CLUSTER", "netns")
            .envs(node.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        node.process = Some(process);
        Ok(())
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, node: usize) -> TestResult {
        let mut process = self.nodes[node].process.take().ok_or("it is down")?;
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    pub(crate) fn host(&self, node: usize) -> &Host {
        &self.lan.hosts()[self.nodes[node].host]
    }

    pub(crate) fn data_dir(&self, node: usize) -> PathBuf {
        self.directory.path().join(format!("node-{node}"))
    }

    fn log_file(&self, node: usize) -> PathBuf {
        self.directory.path().join(format!("node-{node}.log"))
    }

    /// What a node has logged so far.
    pub(crate) fn log(&self, node: usize) -> String {
        std::fs::read_to_string(self.log_file(node)).unwrap_or_default()
    }

    pub(crate) fn address(&self, node: usize) -> String {
        SocketAddr::new(self.host(node).ip(), self.nodes[node].port).to_string()
    }

    /// Asks a node, from its own host.
    pub(crate) fn view(&self, node: usize) -> Option<View> {
        let http = SocketAddr::new(self.host(node).ip(), self.nodes[node].port + 2);
        let body = self.host(node).http_get(http, "/raft")?;
        let overview: Value = serde_json::from_str(&body).ok()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let pid = self.nodes[node].process.as_ref()?.id();
        let all = overview["nodes"].as_array()?;
        let status = &all.iter().find(|other| other["pid"] == pid)?["status"];
        let servers = overview["raftServers"].as_array()?;
        let votes = |server: &&Value| server["suffrage"] == "Voter";
        Some(View {
            leads: overview["currentLeader"] == true,
            leader: text(&overview["leaderAddr"]),
            cluster_id: text(&overview["clusterID"]),
            members: servers.len(),
            voters: servers.iter().filter(votes).count(),
            term: status["term"].as_u64().unwrap_or_default(),
            formation: text(&status["formation"]),
        })
    }

    /// The node that leads, as one says of itself.
    pub(crate) fn leader_among(&self, nodes: &[usize]) -> TestResult<usize> {
        self.wait("a leader", || {
            let leads = |node: &usize| self.view(*node).is_some_and(|view| view.leads);
            nodes.iter().copied().find(leads)
        })
    }

    /// Waits until these nodes are members of one cluster, and its only ones; its id.
    pub(crate) fn one_cluster(&self, nodes: &[usize]) -> TestResult<String> {
        let what = format!("{} nodes to be one cluster", nodes.len());
        self.wait(&what, || {
            let views: Vec<_> = nodes.iter().map(|node| self.view(*node)).collect();
            let first = views.first()?.clone()?;
            let alike = |view: &Option<View>| {
                view.as_ref().is_some_and(|view| {
                    view.cluster_id == first.cluster_id && view.members == nodes.len()
                })
            };
            let formed = !first.cluster_id.is_empty() && views.iter().all(alike);
            formed.then_some(first.cluster_id)
        })
    }

    /// Records an id through a node, from its own host.
    pub(crate) fn record(&self, node: usize, id: u64) -> TestResult {
        let address = self.address(node);
        let recorded = self.host(node).block_on(|| async move {
            let client = LedgerClient::connect([address]).await?;
            client.record(id, "").deadline(PATIENCE).await
        });
        let times = recorded?;
        assert_eq!(times, 1, "{id} was recorded before");
        Ok(())
    }

    /// Whether a node that is cut off takes a write or answers a query: tries both until a deadline.
    pub(crate) fn serves(&self, node: usize, id: u64) -> bool {
        const GIVE_UP_AFTER: Duration = Duration::from_secs(2);
        let address = self.address(node);
        self.host(node).block_on(|| async move {
            let Ok(client) = LedgerClient::connect([address]).await else {
                return false;
            };
            let written = client.record(id, "").deadline(GIVE_UP_AFTER).await.is_ok();
            written || client.count().deadline(GIVE_UP_AFTER).await.is_ok()
        })
    }

    /// Waits until a node's own copy of the state has all these ids.
    pub(crate) fn has_all(&self, node: usize, ids: &[u64]) -> TestResult {
        self.wait("all writes to arrive", || {
            let (address, ids) = (self.address(node), ids.to_vec());
            let missing = self.host(node).block_on(|| async move {
                let client = LedgerClient::connect([address]).await?;
                client.missing(&ids).local().await
            });
            missing
                .is_ok_and(|missing| missing.is_empty())
                .then_some(())
        })
    }

    /// Looks again and again until there is something to see.
    pub(crate) fn wait<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> TestResult<T> {
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            if let Some(seen) = look() {
                return Ok(seen);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Err(format!("waited {PATIENCE:?} in vain for {what}"))?
    }

    /// The ends of the nodes' logs.
    fn last_words(&self) -> String {
        const LINES: usize = 15;
        let tail = |node| {
            let text = self.log(node);
            let lines: Vec<_> = text.lines().collect();
            let from = lines.len().saturating_sub(LINES);
            format!("node {node}:\n{}\n", lines[from..].join("\n"))
        };
        (0..self.nodes.len()).map(tail).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in self
            .nodes
            .iter_mut()
            .filter_map(|node| node.process.as_mut())
        {
            // An error means that it has ended by itself.
            drop(process.kill());
            drop(process.wait());
        }
    }
}
