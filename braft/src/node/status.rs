//! What a node says of itself.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::core::{Core, Stopped};
use crate::cluster::monitor::{Outlook, Report};
use crate::config::{BizData, Resolved};
use crate::member::display_id;
use crate::metrics::Figures;
use crate::raft::{RaftNode, RaftView, Role};
use crate::status::{LogStatus, Member, PanicStatus, ServiceStatus, Status};
use crate::wire::v1 as pb;
use crate::wire::v1::cluster_client::ClusterClient;

/// The longest another node may take to say how it is.
const PEER_STATUS_TIMEOUT: Duration = Duration::from_millis(500);

/// What does not change while a node runs.
pub(crate) struct About {
    pub(super) http_address: String,
    pub(super) outlook: OnceLock<Outlook>,
    pub(super) host: String,
    discovery: String,
    started: Instant,
    started_at: SystemTime,
    biz_data: Option<BizData>,
}

impl About {
    pub(super) fn new(resolved: &Resolved, http: Option<&tokio::net::TcpListener>) -> Self {
        let host = resolved
            .address
            .rsplit_once(':')
            .map_or("", |(host, _)| host);
        let http_address = http
            .and_then(|http| http.local_addr().ok())
            .map(|address| format!("{host}:{}", address.port()));
        About {
            http_address: http_address.unwrap_or_default(),
            outlook: OnceLock::new(),
            host: resolved.host.clone(),
            discovery: resolved.discovery.name().to_owned(),
            started: Instant::now(),
            started_at: crate::world::wall_clock(),
            biz_data: resolved.biz_data.clone(),
        }
    }

    /// When the node started, seconds since 1970.
    pub(super) fn started_at(&self) -> u64 {
        let since = self.started_at.duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs())
    }
}

impl Core {
    pub(crate) fn status(&self) -> Status {
        let me = self.peers().me();
        let about = &self.about;
        let uptime = about.started.elapsed();
        let process = process_figures();
        let mut status = Status {
            node_id: display_id(me.node_id),
            name: me.name.clone(),
            host: about.host.clone(),
            address: me.address.clone(),
            http_address: about.http_address.clone(),
            cluster_name: me.cluster_name.clone(),
            cluster_id: self
                .peers()
                .cluster_id()
                .map(|id| format!("{id:032x}"))
                .unwrap_or_default(),
            role: "forming".to_owned(),
            formation: self.joiner.notice().unwrap_or_else(|| {
                let formed = self.formed.get();
                formed.map(|formed| formed.report()).unwrap_or_default()
            }),
            discovery: about.discovery.clone(),
            started_at: about.started_at(),
            uptime_seconds: uptime.as_secs(),
            pid: std::process::id(),
            rss_bytes: process.rss_bytes,
            cpu_percent: (process.cpu_seconds / uptime.as_secs_f64().max(0.001) * 1000.0).round()
                / 10.0,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            git_commit: option_env!("GIT_COMMIT").map(str::to_owned),
            build_time: option_env!("BUILD_TIME").map(str::to_owned),
            biz_data: about
                .biz_data
                .as_ref()
                .map(|data| data())
                .unwrap_or_default(),
            error: match &*self.stopped.borrow() {
                Some(Stopped::Fatal(why)) => Some(why.clone()),
                Some(Stopped::Shutdown) | None => None,
            },
            ..Status::default()
        };
        if let Some(raft) = self.raft() {
            self.add_raft(raft, &mut status);
        }
        status
    }

    fn add_raft(&self, raft: &RaftNode, status: &mut Status) {
        let view = raft.view();
        status.role = match view.role {
            Role::Leader => "leader",
            Role::Follower => "follower",
            Role::Candidate => "candidate",
            Role::Learner => "learner",
            Role::Stopped => "stopped",
        }
        .to_owned();
        status.term = view.term;
        let report = self.about.outlook.get().map(|seen| seen.borrow().clone());
        let report = report.unwrap_or_default();
        status.members = self.members(&view, &report);
        let leader = view.leader.map(display_id);
        status.leader = status
            .members
            .iter()
            .find(|member| Some(&member.id) == leader.as_ref())
            .cloned();
        status.outlook = report.lines;
        status.clocks = raft.clock_complaint();
        status.slow = self.slow.borrow().clone();
        status.halted = raft.halted();
        status.diverged = raft.quarantine();
        status.divergences = self.divergences.borrow().clone();
        let trouble = status.halted.clone().or_else(|| status.diverged.clone());
        status.error = status.error.take().or(trouble);
        let index = |id: Option<(u64, u64)>| id.map_or(0, |(_, index)| index);
        let stats = raft.wal().stats();
        status.log = LogStatus {
            last_index: view.last_log_index.unwrap_or(0),
            committed_index: index(view.committed),
            applied_index: raft.applied_index(),
            snapshot_index: index(view.snapshot),
            purged_index: index(view.purged),
            segments: stats.segments,
            disk_bytes: stats.disk_bytes,
            fsyncs: stats.fsyncs,
            entries: stats.entries,
        };
        let names = |methods: &[crate::Method], commands: bool| {
            let wanted = methods
                .iter()
                .filter(|method| method.is_command == commands);
            wanted.map(|method| method.name.to_owned()).collect()
        };
        raft.machine().glance(|replica| {
            status.sessions = replica.sessions() as u64;
            let services = replica.services();
            let services = services.map(|(name, (active, latest), methods)| ServiceStatus {
                name: name.to_owned(),
                commands: names(methods, true),
                queries: names(methods, false),
                active_version: active,
                latest_version: latest,
            });
            status.services = services.collect();
            status.compared_index = replica.comparison().agreed();
            let panics = replica.panics();
            let counts = panics.counts().map(|(service, method, times)| PanicStatus {
                service: service.to_owned(),
                method: method.to_owned(),
                times,
                refused: panics.refuses(service, method),
            });
            status.panics = counts.collect();
        });
    }

    fn members(&self, view: &RaftView, report: &Report) -> Vec<Member> {
        let members = &view.members.members;
        let last = view.last_log_index.unwrap_or(0);
        let each = members.nodes.iter().map(|(id, info)| {
            let matched = view
                .matched
                .as_ref()
                .and_then(|all| all.get(id).copied().flatten());
            let contact = view.contact.get(id).copied().flatten();
            Member {
                id: display_id(*id),
                name: info.name.clone(),
                address: info.address.clone(),
                votes: members.is_voter(*id),
                lag: matched.map(|index| last.saturating_sub(index)),
                last_contact_ms: contact
                    .map(|at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX)),
                version: self.peers().about(*id).map(|(_, version)| version),
                health: report.health.get(id).cloned(),
                outlook: report.reasons.get(id).cloned(),
                // A follower seldom dials: what it found is old.
                trouble: (view.role == Role::Leader)
                    .then(|| self.peers().trouble_with(*id))
                    .flatten(),
            }
        });
        each.collect()
    }

    /// What all members say of themselves; those that do not answer are named with the reason.
    pub(crate) async fn all_statuses(&self) -> Vec<Status> {
        let all = self.all_figures().await.into_iter();
        all.map(|(status, _)| status).collect()
    }

    /// The same with what each has counted.
    pub(crate) async fn all_figures(&self) -> Vec<(Status, Figures)> {
        let own = self.status();
        let others = own.members.iter().filter(|member| member.id != own.node_id);
        let asked = others.map(|member| async {
            let asking = self.ask_status(&member.address);
            let answer = tokio::time::timeout(PEER_STATUS_TIMEOUT, asking).await;
            let error = match answer {
                Ok(Ok(answer)) => return answer,
                Ok(Err(error)) => error,
                Err(_) => format!("no answer within {} ms", PEER_STATUS_TIMEOUT.as_millis()),
            };
            let status = Status {
                node_id: member.id.clone(),
                name: member.name.clone(),
                address: member.address.clone(),
                role: "unknown".to_owned(),
                error: Some(error),
                ..Status::default()
            };
            (status, Figures::default())
        });
        let mut all = futures_util::future::join_all(asked).await;
        all.push((own, self.figures()));
        all.sort_by(|(a, _), (b, _)| a.address.cmp(&b.address));
        all
    }

    async fn ask_status(&self, address: &str) -> Result<(Status, Figures), String> {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| error.to_string())?;
        let channel = self.peers().dialer().connect(&endpoint).await;
        let channel = channel.map_err(|error| error.to_string())?;
        let answer = ClusterClient::new(channel)
            .status(pb::StatusRequest {})
            .await;
        let answer = answer.map_err(|status| status.message().to_owned())?;
        let answer = answer.into_inner();
        let status = serde_json::from_str(&answer.status).map_err(|error| error.to_string())?;
        // An older node sends none.
        let figures = serde_json::from_str(&answer.figures).unwrap_or_default();
        Ok((status, figures))
    }
}

#[derive(Default)]
pub(super) struct Process {
    pub(super) rss_bytes: u64,
    pub(super) cpu_seconds: f64,
}

/// Memory and CPU time of this process; zero where the system does not tell.
pub(super) fn process_figures() -> Process {
    /// Clock ticks per second in `/proc`, fixed on Linux.
    const TICKS: f64 = 100.0;
    let read = || -> Option<Process> {
        let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
        let pages: u64 = pages.split_whitespace().nth(1)?.parse().ok()?;
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The program's name is in parentheses and may hold spaces.
        let (_, fields) = stat.rsplit_once(')')?;
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: f64 = ticks.filter_map(|text| text.parse::<f64>().ok()).sum();
        let page = rustix::param::page_size() as u64;
        Some(Process {
            rss_bytes: pages * page,
            cpu_seconds: ticks / TICKS,
        })
    };
    read().unwrap_or_default()
}
