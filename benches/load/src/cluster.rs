//! The processes of one cluster.

use std::fs::{self, File};
use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::process::ProcessFigures;
use crate::run::NodeSample;

/// The longest a cluster may take until it serves.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Starts are measured: they must not wait for the look.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How much of a node's output is shown if the cluster does not serve.
const TAIL_LINES: usize = 10;

/// Where the nodes of a cluster are, and what they write to.
#[derive(Clone, Debug)]
pub struct Place {
    directory: Arc<TempDir>,
    /// Of the first node; each has an address of its own, so that the usual ports are free.
    first_ip: Ipv4Addr,
    nodes: usize,
}

/// The processes; dropping them kills them.
#[derive(Debug)]
pub struct Cluster {
    processes: Vec<Child>,
    // After the processes, so that it goes after them.
    place: Place,
}

impl Place {
    /// New addresses for so many nodes, and a new directory below `below`.
    ///
    /// # Errors
    /// If the directory cannot be made.
    pub fn new(below: &Path, nodes: usize) -> io::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("nodes-")
            .tempdir_in(below)?;
        let [a, b, c, _] = getrandom::u32()
            .map_err(|error| io::Error::other(error.to_string()))?
            .to_le_bytes();
        let first_ip = Ipv4Addr::new(127, a.clamp(1, 254), b, c.clamp(1, 200));
        Ok(Place {
            directory: Arc::new(directory),
            first_ip,
            nodes,
        })
    }

    /// The nodes that a cluster here begins with.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// The address of a node.
    pub fn ip(&self, node: usize) -> Ipv4Addr {
        let node = u32::try_from(node).expect("there are few nodes");
        Ipv4Addr::from_bits(self.first_ip.to_bits() + node)
    }

    /// "ip:port" of a node.
    pub fn address(&self, node: usize, port: u16) -> String {
        format!("{}:{port}", self.ip(node))
    }

    /// The same of all nodes.
    pub fn addresses(&self, port: u16) -> Vec<String> {
        (0..self.nodes)
            .map(|node| self.address(node, port))
            .collect()
    }

    /// Where a node keeps its data; it is there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn data_dir(&self, node: usize) -> io::Result<PathBuf> {
        let path = self.directory.path().join(format!("node-{node}"));
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    fn log(&self, node: usize) -> PathBuf {
        self.directory.path().join(format!("node-{node}.log"))
    }

    /// Starts one process for each node.
    ///
    /// # Errors
    /// If one cannot be started.
    pub fn start(
        self,
        command: impl Fn(&Self, usize) -> io::Result<Command>,
    ) -> io::Result<Cluster> {
        let each = (0..self.nodes).map(|node| self.spawn(node, command(&self, node)?));
        let processes = each.collect::<io::Result<_>>()?;
        Ok(Cluster {
            processes,
            place: self,
        })
    }

    fn spawn(&self, node: usize, mut command: Command) -> io::Result<Child> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(node))?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
    }
}

impl Cluster {
    /// Where the nodes are.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Looks until there is something to see.
    ///
    /// # Errors
    /// If there is nothing for long, or a node has ended: says what was awaited, and what the nodes said
    /// last.
    pub async fn wait<T, Fut: Future<Output = Option<T>>>(
        &mut self,
        what: &str,
        look: impl FnMut() -> Fut,
    ) -> Result<T, String> {
        self.wait_within(READY_WITHIN, what, look).await
    }

    /// The same, for something that may take longer.
    ///
    /// # Errors
    /// As there.
    pub async fn wait_within<T, Fut: Future<Output = Option<T>>>(
        &mut self,
        within: Duration,
        what: &str,
        mut look: impl FnMut() -> Fut,
    ) -> Result<T, String> {
        let looking = async {
            loop {
                if let Some(seen) = look().await {
                    return Some(seen);
                }
                let ended = |process: &mut Child| matches!(process.try_wait(), Ok(Some(_)));
                if self.processes.iter_mut().any(ended) {
                    return None;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let looked = tokio::time::timeout(within, looking).await;
        looked.ok().flatten().ok_or_else(|| {
            let tails: String = (0..self.processes.len())
                .map(|node| self.tail(node))
                .collect();
            format!("waited in vain for {what}\n{tails}")
        })
    }

    fn tail(&self, node: usize) -> String {
        let text = fs::read_to_string(self.place.log(node)).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let from = lines.len().saturating_sub(TAIL_LINES);
        format!("node {node}:\n  {}\n", lines[from..].join("\n  "))
    }

    /// Kills one process, and waits until it has gone.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub async fn kill(&mut self, node: usize) -> io::Result<()> {
        self.processes[node].kill().await
    }

    /// Stops one process where it is; it keeps its connections and says nothing.
    ///
    /// # Errors
    /// If it has ended.
    pub fn silence(&self, node: usize) -> io::Result<()> {
        let pid = self.processes[node].id().map(|pid| pid.cast_signed());
        let pid = pid
            .and_then(Pid::from_raw)
            .ok_or_else(|| io::Error::other("the node has ended"))?;
        Ok(kill_process(pid, Signal::STOP)?)
    }

    /// Starts a process that has ended once more, on the data that it left.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn restart(&mut self, node: usize, command: Command) -> io::Result<()> {
        self.processes[node] = self.place.spawn(node, command)?;
        Ok(())
    }

    /// Starts a process more than the cluster began with; says which node it is.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn add(
        &mut self,
        command: impl Fn(&Place, usize) -> io::Result<Command>,
    ) -> io::Result<usize> {
        let node = self.processes.len();
        let process = self.place.spawn(node, command(&self.place, node)?)?;
        self.processes.push(process);
        Ok(node)
    }

    /// Kills the processes, and waits until they have gone: they write no more.
    pub async fn end(mut self) {
        for process in &mut self.processes {
            // It may have ended by itself.
            drop(process.start_kill());
        }
        for process in &mut self.processes {
            drop(process.wait().await);
        }
    }

    /// The ids of the processes.
    pub fn pids(&self) -> Vec<u32> {
        self.processes.iter().filter_map(Child::id).collect()
    }

    /// What the processes have used; a store may know more of itself.
    pub fn sample(&self) -> Vec<NodeSample> {
        let each = self.pids().into_iter().map(|pid| {
            let process = ProcessFigures::of(pid);
            NodeSample {
                cpu: process.map(|process| process.cpu),
                rss_bytes: process.map(|process| process.rss_bytes),
                ..NodeSample::default()
            }
        });
        each.collect()
    }

    /// What the files of each node take on disk, bytes.
    ///
    /// # Errors
    /// If they cannot be looked at.
    pub fn disk_bytes(&self) -> io::Result<Vec<u64>> {
        let each = (0..self.processes.len()).map(|node| blocks_below(&self.place.data_dir(node)?));
        each.collect()
    }
}

/// What is allocated to all files below a directory, bytes.
///
/// # Errors
/// If one cannot be looked at.
pub fn blocks_below(directory: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;

    const BLOCK_BYTES: u64 = 512;
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // A running node removes files.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        bytes += match metadata.is_dir() {
            true => blocks_below(&entry.path())?,
            false => metadata.blocks() * BLOCK_BYTES,
        };
    }
    Ok(bytes)
}
