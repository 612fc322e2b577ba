//! Keeping the nodes running, and saying how they are.

use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::child::NodeProcess;
use super::plan::Member;
use super::say;
use super::view::View;

/// How often the nodes are asked until all are ready: the time to readiness is shown.
const ASK_WHILE_STARTING: Duration = Duration::from_millis(50);
/// How often they are asked afterwards.
const ASK_WHILE_RUNNING: Duration = Duration::from_secs(1);
/// How long a start may take before the reason is printed.
const SLOW_START: Duration = Duration::from_secs(15);
/// How long a node that was killed stays down, so that one can see the others go on.
const DOWN_TIME: Duration = Duration::from_secs(5);

/// A node failed by itself: the cluster is stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error(
        "{node} ended ({status}); the last lines of {log}:\n{tail}\n\
         if a port was taken, choose others with --base-port (for a single `kv node`: BRAFT_RPORT \
         and BRAFT_HPORT)"
    )]
    Ended {
        node: String,
        status: ExitStatus,
        log: String,
        tail: String,
    },
    #[error("{node} cannot be started: {source}")]
    Start { node: String, source: io::Error },
}

/// The nodes of one cluster.
pub(super) struct Watch {
    processes: Vec<NodeProcess>,
    /// For each process, when to start it again after it was killed.
    again: Vec<Option<Instant>>,
    discovery: String,
    started: Instant,
    line: ProgressBar,
}

impl Watch {
    /// Starts all nodes.
    pub(super) fn start(members: Vec<Member>, discovery: String) -> Result<Self, Failed> {
        let started = Instant::now();
        let start = |member| start(member, &discovery);
        let processes: Vec<_> = members.into_iter().map(start).collect::<Result<_, _>>()?;
        // Draws on standard error, and only if that is a terminal.
        let line = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner());
        line.enable_steady_tick(Duration::from_millis(120));
        Ok(Watch {
            again: vec![None; processes.len()],
            processes,
            discovery,
            started,
            line,
        })
    }

    /// Watches until a node fails.
    pub(super) async fn run(&mut self) -> Failed {
        let mut ready = false;
        let mut slow = false;
        loop {
            if let Err(failed) = self.check(ready) {
                self.line.finish_and_clear();
                return failed;
            }
            let members: Vec<_> = self.processes.iter().map(|p| &p.member).collect();
            let view = View::take(&members).await;
            self.line.set_message(self.message(&view));
            if !ready && view.ready() {
                ready = true;
                self.announce(&view);
            }
            if !ready && !slow && self.started.elapsed() > SLOW_START {
                slow = true;
                self.print(&format!("not ready yet: {}", view.line()));
            }
            let pause = if ready {
                ASK_WHILE_RUNNING
            } else {
                ASK_WHILE_STARTING
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// The processes, to be stopped.
    pub(super) fn into_processes(self) -> Vec<NodeProcess> {
        self.line.finish_and_clear();
        self.processes
    }

    /// Looks for nodes that have ended: one that was told to go is started again after a while,
    /// one that failed ends the watch.
    fn check(&mut self, ready: bool) -> Result<(), Failed> {
        for index in 0..self.processes.len() {
            let process = &mut self.processes[index];
            match (process.ended(), self.again[index]) {
                (None, _) => {}
                (Some(_), Some(due)) if due <= Instant::now() => {
                    let member = process.member.clone();
                    self.print(&format!("{} starts again", member.name()));
                    self.processes[index] = start(member, &self.discovery)?;
                    self.again[index] = None;
                }
                (Some(_), Some(_)) => {}
                (Some(status), None) if ready && (status.success() || status.code().is_none()) => {
                    let name = process.member.name();
                    let wait = DOWN_TIME.as_secs();
                    self.print(&format!("{name} is gone ({status}), back in {wait} s"));
                    self.again[index] = Some(Instant::now() + DOWN_TIME);
                }
                (Some(status), None) => {
                    return Err(Failed::Ended {
                        node: process.member.name(),
                        status,
                        log: process.member.log.display().to_string(),
                        tail: process.log_tail(),
                    });
                }
            }
        }
        Ok(())
    }

    fn message(&self, view: &View) -> String {
        let up = self.started.elapsed().as_secs();
        format!("{} | up {up} s | Ctrl-C stops", view.line())
    }

    /// Says that the cluster is ready, who leads, and what to try.
    fn announce(&self, view: &View) {
        let leader = view.leader.as_deref().unwrap_or_default();
        let after = self.started.elapsed().as_secs_f32();
        let mut text = format!("ready after {after:.1} s, {leader} leads\n");
        for process in &self.processes {
            let Member {
                raft_port,
                http_port,
                ..
            } = process.member;
            let name = process.member.name();
            let pid = process.pid().unwrap_or_default();
            let leads = leader.ends_with(&format!(":{raft_port}"));
            let role = if leads { "  leader" } else { "" };
            text += &format!("  {name}  http://127.0.0.1:{http_port}  pid {pid}{role}\n");
        }
        let port = |index: usize| {
            self.processes[index % self.processes.len()]
                .member
                .http_port
        };
        let (first, second, third) = (port(0), port(1), port(2));
        text += &format!(
            "try:\n  \
             curl -X POST 'http://127.0.0.1:{first}/kv?map=test&key=a&value=hello'\n  \
             curl 'http://127.0.0.1:{second}/kv?map=test&key=a'\n  \
             curl -X DELETE 'http://127.0.0.1:{third}/kv?map=test&key=a'\n  \
             curl http://127.0.0.1:{first}/raft\n\
             kill -9 a node: the others go on, and it is started again after {} s\n\
             Ctrl-C stops all nodes",
            DOWN_TIME.as_secs()
        );
        self.print(&text);
    }

    /// Prints above the status line.
    fn print(&self, text: &str) {
        self.line.suspend(|| say(text));
    }
}

fn start(member: Member, discovery: &str) -> Result<NodeProcess, Failed> {
    let node = member.name();
    NodeProcess::start(member, discovery).map_err(|source| Failed::Start { node, source })
}
