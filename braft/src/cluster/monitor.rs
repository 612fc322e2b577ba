//! The leader's watch over the members: gathers what only it can know, and carries the plan out.
//!
//! Takes learners in as voters once they have caught up, and finishes joint configurations.
//! Removals are planned, and reported with their reasons, but not carried out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::identity::DisplayNode;
use super::membership::{Change, Limits, Member, Plan, Role, View, plan};
use crate::raft::network::Timers;
use crate::raft::{self, RaftNode, RaftView};
use crate::settings::Settings;

/// How often the leader looks.
const INTERVAL: Duration = Duration::from_millis(200);
/// How late a round may be before what it sees does not count: a paused leader blames nobody.
const MAX_LATE: Duration = Duration::from_millis(200);
/// How long a learner has to keep up before it votes.
const STABLE_FOR: Duration = Duration::from_millis(400);

/// What is remembered of a member between rounds.
#[derive(Clone, Copy, Debug)]
struct Watched {
    silent: Duration,
    stable: Duration,
}

/// What the leader would do next about its members, and why it does not do more: a line each.
pub(crate) type Outlook = watch::Receiver<Vec<String>>;

/// Starts the watch; it idles while this node does not lead.
pub(crate) fn start(raft: RaftNode, timers: Timers) -> (Outlook, impl Future<Output = ()> + Send) {
    let (outlook, seen) = watch::channel(Vec::new());
    let monitor = Monitor {
        raft,
        timers,
        outlook,
        term: 0,
        watched: BTreeMap::new(),
        settings: Settings::default(),
        last: Instant::now(),
    };
    (seen, monitor.run())
}

struct Monitor {
    raft: RaftNode,
    timers: Timers,
    outlook: watch::Sender<Vec<String>>,
    term: u64,
    watched: BTreeMap<u64, Watched>,
    /// The replicated settings when the state was last seen.
    settings: Settings,
    last: Instant,
}

impl Monitor {
    async fn run(mut self) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let view = self.raft.view();
            if view.role != raft::Role::Leader {
                self.watched.clear();
                self.outlook
                    .send_if_modified(|lines| !std::mem::take(lines).is_empty());
                if self
                    .raft
                    .wait_for(|view| view.role == raft::Role::Leader)
                    .await
                    .is_none()
                {
                    return;
                }
                self.last = Instant::now();
                continue;
            }
            self.round(&view).await;
        }
    }

    async fn round(&mut self, raft: &RaftView) {
        if let Some(settings) = self
            .raft
            .machine()
            .glance(|replica| replica.settings().clone())
        {
            self.settings = settings;
        }
        let settings = self.settings.clone();
        let view = self.look(raft, &settings);
        let plan = plan(&view);
        self.outlook.send_if_modified(|lines| {
            let new = describe(&plan);
            let changed = *lines != new;
            *lines = new;
            changed
        });
        let Some(decision) = plan.decision else {
            return;
        };
        let voters = match &decision.change {
            Change::Promote { .. } | Change::FinishJoint { .. } => {
                decision.change.resulting_voters(&view)
            }
            Change::AddLearner { .. }
            | Change::RemoveLearner { .. }
            | Change::ReplaceVoter { .. }
            | Change::RemoveVoter { .. } => return,
        };
        tracing::info!(reason = %decision.reason, change = ?decision.change, "changing the voters");
        let change = raft::Change::Voters(voters);
        if let Err(error) = self.raft.change(change, raft.members.log_id).await {
            tracing::warn!(%error, "tried again in the next round");
        }
    }

    /// Whether what this round sees counts: same term, on time, in touch with a quorum.
    fn counts(&mut self, raft: &RaftView, elapsed: Duration) -> bool {
        let lease = Duration::from_millis(self.timers.election_min_ms.into());
        let in_touch = raft.members.members.voters().len() == 1
            || raft.quorum_contact.is_some_and(|at| at.elapsed() < lease);
        let same_term = std::mem::replace(&mut self.term, raft.term) == raft.term;
        same_term && elapsed < INTERVAL + MAX_LATE && in_touch
    }

    fn look(&mut self, raft: &RaftView, settings: &Settings) -> View {
        let me = self.raft.peers().me().node_id;
        let elapsed = self.last.elapsed();
        self.last = Instant::now();
        let counts = self.counts(raft, elapsed);
        let missed_after = 2 * Duration::from_millis(self.timers.heartbeat_ms.into()) + INTERVAL;
        let last_index = raft.last_log_index.unwrap_or(0);
        let mut members = BTreeMap::new();
        for (id, info) in &raft.members.members.nodes {
            let Ok(address) = info.address.parse() else {
                continue;
            };
            let contact = raft.contact.get(id).copied().flatten();
            let in_contact = *id == me || contact.is_some_and(|at| at.elapsed() < missed_after);
            let matched = raft
                .matched
                .as_ref()
                .and_then(|all| all.get(id).copied().flatten());
            let lag = match matched {
                _ if *id == me => 0,
                Some(index) => last_index.saturating_sub(index),
                None => u64::MAX,
            };
            let watched = self.watched.entry(*id).or_insert(Watched {
                silent: Duration::ZERO,
                stable: Duration::ZERO,
            });
            watched.silent = match (in_contact, counts) {
                (true, _) | (false, false) => Duration::ZERO,
                (false, true) => watched.silent + elapsed,
            };
            let keeps_up = in_contact && lag <= super::membership::MAX_LAG;
            watched.stable = if keeps_up {
                watched.stable + elapsed
            } else {
                Duration::ZERO
            };
            let silent = if in_contact {
                Duration::ZERO
            } else {
                watched.silent.max(INTERVAL)
            };
            let votes = raft.members.members.is_voter(*id);
            members.insert(
                *id,
                Member {
                    role: if votes { Role::Voter } else { Role::Learner },
                    address,
                    name: None,
                    silent,
                    lag,
                    stable: watched.stable,
                    discovered: false,
                },
            );
        }
        self.watched.retain(|id, _| members.contains_key(id));
        let configs = &raft.members.members.configs;
        View {
            leader: me,
            members,
            change_in_flight: raft.members.log_id > raft.committed,
            joint_target: (configs.len() > 1).then(|| configs.last().cloned().unwrap_or_default()),
            candidates: BTreeMap::new(),
            removed: BTreeMap::new(),
            limits: Limits {
                min_voters: usize::try_from(settings.min_voters).unwrap_or(usize::MAX),
                max_voters: usize::try_from(settings.max_voters).unwrap_or(usize::MAX),
                dead_after: Duration::from_millis(settings.dead_after_ms),
                stable_for: STABLE_FOR,
            },
        }
    }
}

fn describe(plan: &Plan) -> Vec<String> {
    let decided = plan
        .decision
        .iter()
        .map(|decision| format!("would {:?}: {}", decision.change, decision.reason));
    let refused = plan.refusals.iter().map(|refusal| match refusal.node_id {
        Some(id) => format!("node {}: {}", DisplayNode(id), refusal.reason),
        None => refusal.reason.clone(),
    });
    decided.chain(refused).collect()
}

/// Seeds the replicated settings of a new cluster from this node's configuration.
pub(crate) async fn seed_settings(raft: RaftNode, seed: Arc<Settings>) {
    use crate::codec;
    use crate::entry::Item;
    use crate::request::ReplyTo;
    let settings =
        bytes::Bytes::from(codec::encode(&*seed).expect("numbers always have a MessagePack form"));
    let mut applied = raft.watch_applied();
    loop {
        if raft.machine().glance(|replica| replica.seeded()) == Some(true) {
            return;
        }
        if raft
            .wait_for(|view| view.role == raft::Role::Leader)
            .await
            .is_none()
        {
            return;
        }
        let (reply, answer) = tokio::sync::oneshot::channel();
        raft.propose(raft::Proposal {
            item: Item::SeedSettings {
                settings: settings.clone(),
            },
            deadline: Instant::now() + Duration::from_secs(5),
            reply: ReplyTo::Task(reply),
        });
        // Refused, because another node leads by now: that one seeds; see when it has.
        if !matches!(answer.await, Ok(reply) if reply.result.is_ok())
            && applied.changed().await.is_err()
        {
            return;
        }
    }
}
