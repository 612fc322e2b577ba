//! A cluster for a measurement: free ports, and a directory that goes with it.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tempfile::TempDir;

use super::child::NodeProcess;
use super::{plan, probe};
use crate::args::ClusterArgs;

/// The longest the nodes may take until they serve.
const READY_WITHIN: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_millis(20);
/// Ports to begin with are looked for from here; nine nodes then stay below 32768, where the system
/// takes the ports of outgoing connections from.
const FIRST_BASE_PORT: u16 = 18_000;
const BASE_PORTS: u16 = 5_000;
/// Ports tried before giving up.
const ATTEMPTS: u16 = 50;

/// Nodes in processes of their own. Dropping it kills them and removes what they wrote.
#[derive(Debug)]
pub(crate) struct Scratch {
    processes: Vec<NodeProcess>,
    // After the processes, so that it goes after them.
    directory: TempDir,
}

impl Scratch {
    /// Starts nodes with empty disks in a new directory below `place`, and waits until they serve.
    pub(crate) async fn start(nodes: u16, place: &Path) -> Result<Self, Box<dyn Error>> {
        let directory = tempfile::Builder::new()
            .prefix("kv-bench-")
            .tempdir_in(place)?;
        let members = free_members(nodes, directory.path())?;
        plan::prepare(directory.path(), &members)?;
        let discovery = plan::discovery(&members);
        let processes = members
            .into_iter()
            .map(|member| NodeProcess::start(member, &discovery))
            .collect::<Result<_, _>>()?;
        let mut scratch = Scratch {
            processes,
            directory,
        };
        scratch.ready().await?;
        Ok(scratch)
    }

    /// Where calls are taken: "host:port" of each node.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let all = self.processes.iter().map(|process| &process.member);
        all.map(|member| format!("127.0.0.1:{}", member.raft_port))
            .collect()
    }

    /// Where the first node's HTTP is.
    pub(crate) fn http_address(&self) -> Option<String> {
        let first = self.processes.first()?;
        Some(format!("127.0.0.1:{}", first.member.http_port))
    }

    /// Where the nodes write.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    async fn ready(&mut self) -> Result<(), Box<dyn Error>> {
        let began = Instant::now();
        for process in &mut self.processes {
            loop {
                let answer = probe::get(process.member.http_port, "/readyz").await;
                if answer.is_ok_and(|answer| answer.status == 200) {
                    break;
                }
                if process.ended().is_some() || began.elapsed() > READY_WITHIN {
                    let (name, tail) = (process.member.name(), process.log_tail());
                    return Err(format!("{name} does not serve; its last lines:\n{tail}").into());
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        }
        Ok(())
    }

    /// Stops the nodes in order.
    pub(crate) async fn stop(mut self) {
        join_all(self.processes.iter_mut().map(NodeProcess::stop)).await;
    }
}

/// Nodes whose ports are free at this moment.
fn free_members(nodes: u16, directory: &Path) -> Result<Vec<plan::Member>, plan::CannotStart> {
    // Another measurement of this moment begins elsewhere.
    let start = u16::try_from(std::process::id() % u32::from(BASE_PORTS)).unwrap_or(0);
    let mut attempt = 0;
    loop {
        let members = plan::members(&ClusterArgs {
            nodes,
            data_dir: directory.to_owned(),
            base_port: FIRST_BASE_PORT + (start + 7 * attempt) % BASE_PORTS,
        });
        match plan::check_ports(&members) {
            Ok(()) => return Ok(members),
            Err(plan::CannotStart::PortTaken { .. }) if attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}
