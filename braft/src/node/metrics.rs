//! A node's figures: the page for Prometheus, and what the dashboard of any node asks for.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::core::{Core, Stopped};
use super::feed::MAX_SUBSCRIBERS;
use super::status::process_figures;
use crate::cluster::monitor::Report;
use crate::member::{Members, display_id};
use crate::metrics::catalogue::*;
use crate::metrics::{Figures, Page};
use crate::raft::{MAX_PENDING_ITEMS, MAX_WAITING_READS, RaftNode, RaftView, Role};

/// Each role with its label.
const ROLES: [(Role, &str); 5] = [
    (Role::Leader, "leader"),
    (Role::Follower, "follower"),
    (Role::Candidate, "candidate"),
    (Role::Learner, "learner"),
    (Role::Stopped, "stopped"),
];

impl Core {
    /// The page for Prometheus. A metric without samples stands there all the same.
    pub(crate) fn metrics(&self) -> String {
        let mut page = Page::default();
        let raft = self.raft();
        let view = raft.map(RaftNode::view);
        self.put_node(&mut page);
        put_role(&mut page, raft, view.as_ref());
        page.single(LEADER_CHANGES, self.leaderships.changes());
        put_log(&mut page, raft, view.as_ref());
        page.single(DISK_LOW, u8::from(*self.disk_low.borrow()));
        self.put_work(&mut page, raft);
        self.put_calls(&mut page);
        put_snapshots(&mut page, raft, view.as_ref());
        self.put_members(&mut page, raft, view.as_ref());
        self.put_peers(&mut page, view.as_ref());
        self.put_replicas(&mut page, raft);
        page.finish()
    }

    /// What the dashboard shows of this node beside its status.
    pub(crate) fn figures(&self) -> Figures {
        let mut figures = Figures {
            leaderships: self.leaderships.latest(),
            decisions: self.decisions.latest(),
            ..Figures::default()
        };
        figures.count(&self.calls);
        if let Some(raft) = self.raft() {
            figures.applied = raft.figures().applied();
            figures.pending = raft.under_way().map(|(items, _)| items);
            figures.fsync_times = raft.wal().sync_times().buckets.to_vec();
            (figures.snapshot_bytes, figures.snapshot_at) = newest_snapshot(raft);
        }
        figures
    }

    fn put_node(&self, page: &mut Page) {
        let me = self.peers().me();
        let (id, process) = (display_id(me.node_id), process_figures());
        let labels = [
            ("node", &*id),
            ("name", &me.name),
            ("address", &me.address),
            ("cluster", &me.cluster_name),
            ("version", env!("CARGO_PKG_VERSION")),
        ];
        page.metric(INFO).sample(&labels, 1);
        page.single(START_TIME, self.about.started_at());
        let stopped = matches!(&*self.stopped.borrow(), Some(Stopped::Fatal(_)));
        page.single(STOPPED, u8::from(stopped));
        page.single(RSS, process.rss_bytes);
        page.single(CPU, process.cpu_seconds);
    }

    fn put_work(&self, page: &mut Page, raft: Option<&RaftNode>) {
        let figures = raft.map(RaftNode::figures);
        page.metric(COMMIT_TIMES);
        figures.inspect(|figures| page.counts(&[], &figures.commit.counts()));
        page.metric(APPLY_TIMES);
        figures.inspect(|figures| page.counts(&[], &figures.apply.counts()));
        page.single(APPLIED, figures.map_or(0, |figures| figures.applied()));

        let under_way = raft.map(RaftNode::under_way).unwrap_or_default();
        let kinds = ["command", "read"];
        page.metric(PENDING);
        for (kind, (items, _)) in kinds.iter().zip(under_way) {
            page.sample(&[("kind", kind)], items);
        }
        page.metric(PENDING_LIMIT);
        for (kind, limit) in kinds.iter().zip([MAX_PENDING_ITEMS, MAX_WAITING_READS]) {
            page.sample(&[("kind", kind)], limit);
        }
        page.metric(PENDING_BYTES);
        for (kind, (_, bytes)) in kinds.iter().zip(under_way) {
            page.sample(&[("kind", kind)], bytes);
        }

        page.metric(SESSIONS);
        let sessions = raft.and_then(|raft| raft.machine().glance(|state| state.sessions()));
        sessions.inspect(|sessions| page.sample(&[], sessions));
        let free = self.subscribers.available_permits();
        page.single(SUBSCRIBERS, MAX_SUBSCRIBERS.saturating_sub(free));
        page.single(SLOW_CALLS, self.slow.borrow().len());
        page.metric(REFUSED_METHODS);
        let panicked = |raft: &RaftNode| {
            let count = |state: &crate::machine::Replica| state.panics().counts().count();
            raft.machine().glance(count)
        };
        raft.and_then(panicked)
            .inspect(|panicked| page.sample(&[], panicked));
    }

    fn put_calls(&self, page: &mut Page) {
        page.metric(CALLS);
        for method in self.calls.methods() {
            let kind = kind(method.method.is_command);
            // What never happened is left out, but for the one that is looked for first.
            let outcomes = method.outcomes().enumerate();
            for (_, (outcome, count)) in outcomes.filter(|(at, (_, n))| *at == 0 || *n > 0) {
                let labels = [
                    ("service", method.service),
                    ("method", method.method.name),
                    ("kind", kind),
                    ("outcome", outcome),
                ];
                page.sample(&labels, count);
            }
        }
        page.metric(CALL_TIMES);
        for method in self.calls.methods() {
            for (result, times) in [("answered", &method.answered), ("failed", &method.failed)] {
                let counts = times.counts();
                if counts.total() > 0 {
                    let labels = [
                        ("service", method.service),
                        ("method", method.method.name),
                        ("kind", kind(method.method.is_command)),
                        ("result", result),
                    ];
                    page.counts(&labels, &counts);
                }
            }
        }
        page.single(FORWARDED, self.calls.forwarded());
    }

    fn put_members(&self, page: &mut Page, raft: Option<&RaftNode>, view: Option<&RaftView>) {
        let none = Members::default();
        let members = view.map_or(&none, |view| &view.members.members);
        let voters = members.voters().len();
        page.metric(MEMBERS);
        page.sample(&[("votes", "true")], voters);
        page.sample(
            &[("votes", "false")],
            members.nodes.len().saturating_sub(voters),
        );
        let limits = raft.and_then(|raft| {
            let limits = |state: &crate::machine::Replica| {
                (state.settings().min_voters, state.settings().max_voters)
            };
            raft.machine().glance(limits)
        });
        page.metric(MIN_VOTERS);
        limits.inspect(|(min, _)| page.sample(&[], min));
        page.metric(MAX_VOTERS);
        limits.inspect(|(_, max)| page.sample(&[], max));

        let leads = view.filter(|view| view.role == Role::Leader);
        let report = self.outlook().map(|seen| seen.borrow().clone());
        let report = report.filter(|report| leads.is_some() && !report.health.is_empty());
        page.metric(TOLERATED);
        report
            .as_ref()
            .inspect(|report| page.sample(&[], tolerated(members, report)));
        page.metric(MEMBER_HEALTHY);
        for (id, health) in report.iter().flat_map(|report| &report.health) {
            let name = members.nodes.get(id).map_or("", |info| &*info.name);
            let labels = [
                ("member", &*display_id(*id)),
                ("name", name),
                ("health", health),
            ];
            page.sample(&labels, u8::from(health == "healthy"));
        }
        page.metric(MEMBER_LAG);
        for (id, matched) in leads.iter().flat_map(|view| view.matched.iter().flatten()) {
            let last = view.and_then(|view| view.last_log_index).unwrap_or(0);
            let lag = matched.map_or(last, |matched| last.saturating_sub(matched));
            page.sample(&[("member", &display_id(*id))], lag);
        }
        page.metric(MEMBER_CONTACT);
        for (id, at) in leads.iter().flat_map(|view| &view.contact) {
            if let Some(at) = at {
                page.sample(&[("member", &display_id(*id))], at.elapsed().as_secs_f64());
            }
        }
        page.metric(CHANGES);
        for ([change, reason, result], count) in self.decisions.counts() {
            let labels = [("change", change), ("reason", reason), ("result", result)];
            page.sample(&labels, count);
        }
        page.metric(REFUSALS);
        report.inspect(|report| page.sample(&[], report.refused));
    }

    fn put_peers(&self, page: &mut Page, view: Option<&RaftView>) {
        let me = self.peers().me().node_id;
        let members = view.map(|view| &view.members.members.nodes);
        let members: Vec<u64> = members
            .into_iter()
            .flat_map(|nodes| nodes.keys())
            .copied()
            .collect();
        page.metric(PEER_CONNECTED);
        for id in members.iter().filter(|id| **id != me) {
            let is_connected = self.peers().is_connected(*id);
            page.sample(&[("peer", &display_id(*id))], u8::from(is_connected));
        }
        let figures: BTreeMap<_, _> = self.peers().figures().all().into_iter().collect();
        let figures = || figures.iter().map(|(id, peer)| (display_id(*id), peer));
        page.metric(PEER_APPENDS);
        figures().for_each(|(id, peer)| page.sample(&[("peer", &id)], peer.appends()));
        page.metric(PEER_SENT);
        figures().for_each(|(id, peer)| page.sample(&[("peer", &id)], peer.traffic.sent()));
        page.metric(PEER_RECEIVED);
        figures().for_each(|(id, peer)| page.sample(&[("peer", &id)], peer.traffic.received()));
        page.metric(PEER_FAILURES);
        figures().for_each(|(id, peer)| page.sample(&[("peer", &id)], peer.failures()));
        page.metric(PEER_TIMES);
        figures().for_each(|(id, peer)| page.counts(&[("peer", &id)], &peer.heartbeats.counts()));
    }

    fn put_replicas(&self, page: &mut Page, raft: Option<&RaftNode>) {
        let flag = |is: Option<bool>| u8::from(is.unwrap_or(false));
        page.single(HALTED, flag(raft.map(|raft| raft.halted().is_some())));
        page.single(DIVERGED, flag(raft.map(|raft| raft.quarantine().is_some())));
        page.single(DIVERGENCES, self.divergences.borrow().len());
        page.metric(COMPARED_INDEX);
        let agreed =
            raft.and_then(|raft| raft.machine().glance(|state| state.comparison().agreed()));
        agreed.inspect(|agreed| page.sample(&[], agreed));
        page.single(
            CLOCKS_WRONG,
            flag(raft.map(|raft| raft.clock_complaint().is_some())),
        );
    }
}

fn kind(is_command: bool) -> &'static str {
    if is_command { "command" } else { "query" }
}

fn put_role(page: &mut Page, raft: Option<&RaftNode>, view: Option<&RaftView>) {
    page.metric(ROLE);
    page.sample(&[("role", "forming")], u8::from(view.is_none()));
    for (role, name) in ROLES {
        let is_it = view.is_some_and(|view| view.role == role);
        page.sample(&[("role", name)], u8::from(is_it));
    }
    let has_leader = view.is_some_and(|view| view.leader.is_some());
    page.single(HAS_LEADER, u8::from(has_leader));
    page.single(IN_TOUCH, u8::from(raft.is_some_and(RaftNode::is_in_touch)));
    page.single(TERM, view.map_or(0, |view| view.term));
}

fn put_log(page: &mut Page, raft: Option<&RaftNode>, view: Option<&RaftView>) {
    let index = |id: Option<(u64, u64)>| id.map_or(0, |(_, index)| index);
    page.single(
        LAST_INDEX,
        view.and_then(|view| view.last_log_index).unwrap_or(0),
    );
    page.single(COMMITTED_INDEX, index(view.and_then(|view| view.committed)));
    page.single(APPLIED_INDEX, raft.map_or(0, RaftNode::applied_index));
    page.single(PURGED_INDEX, index(view.and_then(|view| view.purged)));
    let stats = raft.map(|raft| raft.wal().stats()).unwrap_or_default();
    page.single(SEGMENTS, stats.segments);
    page.single(LOG_BYTES, stats.disk_bytes);
    page.single(CACHE_BYTES, stats.cache_bytes);
    page.single(LOG_QUEUE, stats.queue_depth);
    page.single(ENTRIES, stats.entries);
    page.single(LOG_WRITTEN, stats.bytes);
    page.single(FSYNCS, stats.fsyncs);
    page.metric(FSYNC_TIMES);
    raft.inspect(|raft| page.counts(&[], &raft.wal().sync_times()));
}

fn put_snapshots(page: &mut Page, raft: Option<&RaftNode>, view: Option<&RaftView>) {
    let index = view.and_then(|view| view.snapshot);
    page.single(SNAPSHOT_INDEX, index.map_or(0, |(_, index)| index));
    let (bytes, at) = raft.map(newest_snapshot).unwrap_or_default();
    page.single(SNAPSHOT_BYTES, bytes);
    page.single(SNAPSHOT_TIME, at);
    page.metric(SNAPSHOT_TIMES);
    raft.inspect(|raft| page.counts(&[], &raft.figures().snapshot.counts()));
}

/// Its size, and when its file was written in seconds since 1970; zeros without one.
fn newest_snapshot(raft: &RaftNode) -> (u64, u64) {
    let Some(file) = raft.newest_snapshot() else {
        return (0, 0);
    };
    let written = std::fs::metadata(&file.path).and_then(|file| file.modified());
    let since = written
        .ok()
        .and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    (file.bytes, since.map_or(0, |since| since.as_secs()))
}

/// How many voters may fail yet, in each of the sets that have to agree.
fn tolerated(members: &Members, report: &Report) -> i64 {
    let is_up = |id: &&u64| {
        let health = report.health.get(id).map(String::as_str);
        matches!(health, Some("healthy" | "catching up"))
    };
    let sets = members.configs.iter().map(|voters| {
        let up = voters.iter().filter(is_up).count() as i64;
        up - (voters.len() as i64 / 2 + 1)
    });
    sets.min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_of_each_set_may_not_be_touched() {
        let health = |up: &[u64]| Report {
            health: (1..=5)
                .map(|id| {
                    (
                        id,
                        if up.contains(&id) {
                            "healthy"
                        } else {
                            "failed"
                        }
                        .to_owned(),
                    )
                })
                .collect(),
            ..Report::default()
        };
        let members = |configs: &[&[u64]]| Members {
            configs: configs
                .iter()
                .map(|set| set.iter().copied().collect())
                .collect(),
            ..Members::default()
        };
        let of_five = members(&[&[1, 2, 3, 4, 5]]);
        assert_eq!(tolerated(&of_five, &health(&[1, 2, 3, 4, 5])), 2);
        assert_eq!(tolerated(&of_five, &health(&[1, 2])), -1);
        assert_eq!(tolerated(&members(&[&[1]]), &health(&[1])), 0);
        let joint = members(&[&[1, 2, 3], &[3, 4, 5]]);
        assert_eq!(tolerated(&joint, &health(&[1, 2, 3, 4])), 0);
        assert_eq!(tolerated(&joint, &health(&[1, 2, 3])), -1);
    }
}
