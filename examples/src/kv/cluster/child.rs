//! One node's process.

use std::fs::{self, File};
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::plan::Member;

/// The longest a node may take to stop in order.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// How much of a log is looked at for its last lines.
const LOG_TAIL_BYTES: usize = 16 * 1024;
/// How many of the last lines of a log are shown.
const LOG_TAIL_LINES: usize = 8;
/// What this command decides, under every name a node knows it by; the surrounding shell's values
/// must not reach the nodes.
const OWN_VARIABLES: [&str; 15] = [
    "BRAFT_DISCOVERY",
    "BDI",
    "BRAFT_IP",
    "BIP",
    "BRAFT_IF",
    "BIF",
    "BRAFT_RPORT",
    "BRP",
    "BRAFT_HPORT",
    "BHP",
    "BRAFT_DPORT",
    "BDP",
    "BRAFT_DATA_DIR",
    "BRAFT_EXPECT",
    "BRAFT_CONFIG",
];

/// A node that runs, or has run.
#[derive(Debug)]
pub(super) struct NodeProcess {
    pub(super) member: Member,
    /// Dropping it kills the process.
    child: Child,
}

impl NodeProcess {
    /// Starts this very program as a node. Its log begins anew.
    pub(super) fn start(member: Member, discovery: &str) -> io::Result<Self> {
        let log = File::create(&member.log)?;
        let mut command = Command::new(std::env::current_exe()?);
        for variable in OWN_VARIABLES {
            command.env_remove(variable);
        }
        let child = command
            .args(["node", "--until-stdin-ends"])
            .env("BRAFT_IP", "127.0.0.1")
            .env("BRAFT_DISCOVERY", discovery)
            .env("BRAFT_RPORT", member.raft_port.to_string())
            .env("BRAFT_HPORT", member.http_port.to_string())
            .env("BRAFT_DATA_DIR", &member.data_dir)
            // Its output goes to a file.
            .env("NO_COLOR", "1")
            // Its end tells the node that this process is gone, however it went.
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C reaches this process only, which then stops the nodes in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        Ok(NodeProcess { member, child })
    }

    /// The process id, while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// The exit status, if it has ended.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks the node to stop, waits, and kills it when it takes too long. Says whether it stopped
    /// by itself.
    pub(super) async fn stop(&mut self) -> bool {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // It may have ended in this moment: then the wait below says so.
            let _ = kill_process(pid, Signal::TERM);
        }
        if timeout(STOP_DEADLINE, self.child.wait()).await.is_ok() {
            return true;
        }
        drop(self.child.kill().await);
        false
    }

    /// The last lines of its log.
    pub(super) fn log_tail(&self) -> String {
        let log = fs::read(&self.member.log).unwrap_or_default();
        let start = log.len().saturating_sub(LOG_TAIL_BYTES);
        let text = String::from_utf8_lossy(&log[start..]);
        let lines: Vec<_> = text.lines().map(|line| format!("    {line}")).collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }
}
