//! The leader's watch over the members: gathers what only it can know, and carries the plan out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::decisions::Decisions;
use super::membership::{Change, Plan, View, plan};
use super::observation::{INTERVAL, Observation};
use super::requests::Requests;
use crate::entry::Item;
use crate::error::Error;
use crate::member::{Removal, display_id};
use crate::raft::network::Timers;
use crate::raft::{self, RaftNode, RaftView};

/// The longest a round waits for a change; a later one sees what became of it.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the leader makes of its members; empty elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// What it would do next, and why it does not do more: a line each.
    pub(crate) lines: Vec<String>,
    /// Why something that suggests itself is not done with a member.
    pub(crate) reasons: BTreeMap<u64, String>,
    /// How each member is.
    pub(crate) health: BTreeMap<u64, String>,
    /// How many changes suggest themselves and are not made.
    pub(crate) refused: usize,
}

/// The leader's report, as it changes.
pub(crate) type Outlook = watch::Receiver<Report>;

/// Starts the watch; it idles while this node does not lead.
pub(crate) fn start(
    raft: RaftNode,
    timers: Timers,
    requests: Arc<Requests>,
    decisions: Arc<Decisions>,
) -> (Outlook, impl Future<Output = ()> + Send) {
    let (report, seen) = watch::channel(Report::default());
    let monitor = Monitor {
        observation: Observation::new(raft.clone(), timers),
        raft,
        requests,
        decisions,
        report,
        logged: Vec::new(),
    };
    (seen, monitor.run())
}

struct Monitor {
    raft: RaftNode,
    observation: Observation,
    requests: Arc<Requests>,
    decisions: Arc<Decisions>,
    report: watch::Sender<Report>,
    /// The refusals that were logged last, without their figures.
    logged: Vec<String>,
}

impl Monitor {
    async fn run(mut self) {
        let requests = self.requests.clone();
        loop {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = requests.made.notified() => {}
            }
            let view = self.raft.view();
            if view.role == raft::Role::Leader {
                self.round(&view).await;
                continue;
            }
            self.observation.reset();
            self.requests.clear();
            self.logged.clear();
            self.report
                .send_if_modified(|report| std::mem::take(report) != Report::default());
            let leads = self.raft.wait_for(|view| view.role == raft::Role::Leader);
            if leads.await.is_none() {
                return;
            }
        }
    }

    async fn round(&mut self, raft: &RaftView) {
        let Some(view) = self.observation.look(raft, &self.requests) else {
            return;
        };
        let plan = plan(&view);
        self.tell(&view, &plan);
        let Some(decision) = plan.decision else {
            return;
        };
        let change = &decision.change;
        tracing::info!(term = raft.term, "{change}: {}", decision.reason);
        let carried_out =
            tokio::time::timeout(CHANGE_TIMEOUT, self.carry_out(&view, change, raft)).await;
        let is_done = matches!(carried_out, Ok(Ok(())));
        self.decisions.note(&decision, is_done);
        match carried_out {
            Ok(Ok(())) => self.fulfilled(change),
            Ok(Err(error)) => tracing::warn!(%error, "tried again in the next round: {change}"),
            Err(_) => tracing::warn!("not committed within {CHANGE_TIMEOUT:?}: {change}"),
        }
        self.observation.resume();
    }

    async fn carry_out(&self, view: &View, change: &Change, seen: &RaftView) -> Result<(), Error> {
        let voters = change.resulting_voters(view);
        let change = match change {
            Change::FinishJoint { .. } | Change::Promote { .. } => raft::Change::Voters {
                voters,
                remove_others: false,
            },
            Change::AddLearner { node_id } => {
                let joins = self.requests.joins();
                let joiner = joins.get(node_id);
                let info = joiner.ok_or_else(|| Error::unavailable("it asks no more"))?;
                raft::Change::SetNodes([(*node_id, info.clone())].into())
            }
            Change::Update { node_ids } => {
                let about = |id: &u64| Some((*id, self.raft.peers().about(*id)?.0));
                raft::Change::SetNodes(node_ids.iter().filter_map(about).collect())
            }
            Change::RemoveLearner { node_id, removal } => {
                self.announce(*node_id, *removal).await?;
                raft::Change::RemoveLearner(*node_id)
            }
            Change::ReplaceVoter {
                old: node_id,
                removal,
                ..
            }
            | Change::RemoveVoter { node_id, removal } => {
                self.announce(*node_id, *removal).await?;
                raft::Change::Voters {
                    voters,
                    remove_others: true,
                }
            }
        };
        self.raft.change(change, seen.members.log_id).await
    }

    /// Puts the reason of a removal into the log, so that every later leader can tell it.
    async fn announce(&self, node_id: u64, removal: Removal) -> Result<(), Error> {
        self.raft
            .propose_own(Item::NoteRemoval { node_id, removal })
            .await
    }

    fn fulfilled(&self, change: &Change) {
        match change {
            Change::AddLearner { node_id }
            | Change::RemoveLearner { node_id, .. }
            | Change::RemoveVoter { node_id, .. }
            | Change::ReplaceVoter { old: node_id, .. } => self.requests.done(*node_id),
            Change::FinishJoint { .. } | Change::Promote { .. } | Change::Update { .. } => {}
        }
    }

    fn tell(&mut self, view: &View, plan: &Plan) {
        let health = view
            .members
            .iter()
            .map(|(id, member)| (*id, view.health(*id, member).to_owned()));
        let reasons = plan.refusals.iter();
        let reasons =
            reasons.filter_map(|refusal| Some((refusal.node_id?, refusal.reason.clone())));
        let report = Report {
            lines: describe(plan),
            reasons: reasons.collect(),
            health: health.collect(),
            refused: plan.refusals.len(),
        };
        self.log_refusals(plan);
        self.report.send_if_modified(|old| {
            let changed = *old != report;
            *old = report;
            changed
        });
    }

    /// Logs the refusals when they change in more than their figures.
    fn log_refusals(&mut self, plan: &Plan) {
        let lines = refusals(plan);
        let bare = |line: &String| line.replace(|c: char| c.is_ascii_digit() || c == '.', "");
        let logged: Vec<_> = lines.iter().map(bare).collect();
        for (line, bare) in lines.iter().zip(&logged) {
            if !self.logged.contains(bare) {
                tracing::info!("{line}");
            }
        }
        self.logged = logged;
    }
}

fn refusals(plan: &Plan) -> Vec<String> {
    let refusals = plan.refusals.iter().map(|refusal| match refusal.node_id {
        Some(id) => format!("node {}: {}", display_id(id), refusal.reason),
        None => refusal.reason.clone(),
    });
    refusals.collect()
}

fn describe(plan: &Plan) -> Vec<String> {
    let decided = plan
        .decision
        .iter()
        .map(|decision| format!("{}: {}", decision.change, decision.reason));
    decided.chain(refusals(plan)).collect()
}
