//! What the leader sees of its members, round by round.
//!
//! Silence is what only a leader can judge: contacts missed in its present term, while it held its
//! lease and its own loop was on time. A round that does not count sets every silence back to zero,
//! so that a leader which was paused or cut off blames nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::membership::{Candidate, Limits, MAX_LAG, Member, Role, View};
use super::requests::Requests;
use crate::member::{NodeInfo, Removal};
use crate::raft::network::Timers;
use crate::raft::{RaftNode, RaftView};
use crate::settings::Settings;

/// How often the leader looks.
pub(super) const INTERVAL: Duration = Duration::from_millis(200);
/// How late a round may be before what it sees does not count.
const MAX_LATE: Duration = Duration::from_millis(200);
/// How long a learner has to keep up before it votes.
const STABLE_FOR: Duration = Duration::from_millis(400);

/// What is remembered of a member between rounds.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    silent: Duration,
    stable: Duration,
}

pub(super) struct Observation {
    raft: RaftNode,
    timers: Timers,
    term: u64,
    watched: BTreeMap<u64, Watched>,
    /// The replicated settings and removed nodes when the state was last seen.
    settings: Settings,
    removed: BTreeMap<u64, Removal>,
    last: Instant,
}

/// What one round has to go on.
struct Round {
    counts: bool,
    elapsed: Duration,
    last_index: u64,
}

impl Observation {
    pub(super) fn new(raft: RaftNode, timers: Timers) -> Self {
        Observation {
            raft,
            timers,
            term: 0,
            watched: BTreeMap::new(),
            settings: Settings::default(),
            removed: BTreeMap::new(),
            last: Instant::now(),
        }
    }

    /// This node does not lead: what it saw counts no more.
    pub(super) fn reset(&mut self) {
        self.watched.clear();
        self.term = 0;
    }

    /// Takes one look.
    pub(super) fn look(&mut self, raft: &RaftView, requests: &Requests) -> View {
        self.read_state();
        let now = Instant::now();
        let elapsed = now - std::mem::replace(&mut self.last, now);
        let round = Round {
            counts: self.counts(raft, elapsed),
            elapsed,
            last_index: raft.last_log_index.unwrap_or(0),
        };
        let nodes = &raft.members.members.nodes;
        let members: BTreeMap<_, _> = nodes
            .iter()
            .filter_map(|(id, info)| Some((*id, self.member(raft, &round, *id, info)?)))
            .collect();
        self.watched.retain(|id, _| members.contains_key(id));
        let configs = &raft.members.members.configs;
        View {
            leader: self.raft.peers().me().node_id,
            change_in_flight: raft.members.log_id > raft.committed,
            joint_target: (configs.len() > 1).then(|| configs.last().cloned().unwrap_or_default()),
            candidates: candidates(requests),
            departing: requests.removals(),
            changed: self.changed(raft),
            removed: self.removed.clone(),
            limits: self.limits(),
            members,
        }
    }

    /// Looks at the state, unless it is in use: what was seen last will do for another round.
    fn read_state(&mut self) {
        let seen = self.raft.machine().glance(|replica| {
            let removed = replica.removed().iter();
            let removed = removed.map(|(id, removed)| (id, removed.removal));
            (replica.settings().clone(), removed.collect())
        });
        if let Some((settings, removed)) = seen {
            (self.settings, self.removed) = (settings, removed);
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

    fn member(
        &mut self,
        raft: &RaftView,
        round: &Round,
        id: u64,
        info: &NodeInfo,
    ) -> Option<Member> {
        let address = info.address.parse().ok()?;
        let peers = self.raft.peers();
        let is_me = id == peers.me().node_id;
        let missed_after = 2 * Duration::from_millis(self.timers.heartbeat_ms.into()) + INTERVAL;
        let contact = raft.contact.get(&id).copied().flatten();
        let in_contact = is_me || contact.is_some_and(|at| at.elapsed() < missed_after);
        let matched = raft.matched.as_ref();
        let lag = match matched.and_then(|all| all.get(&id).copied().flatten()) {
            _ if is_me => 0,
            Some(index) => round.last_index.saturating_sub(index),
            None => u64::MAX,
        };
        let failed_after = self.limits().failed_after();
        let discovered = is_me || peers.met_within(id, failed_after);
        let watched = self.watched.entry(id).or_default();
        watched.silent = match (in_contact, round.counts) {
            (true, _) | (false, false) => Duration::ZERO,
            (false, true) => watched.silent + round.elapsed,
        };
        watched.stable = if in_contact && lag <= MAX_LAG {
            watched.stable + round.elapsed
        } else {
            Duration::ZERO
        };
        let silent = if in_contact {
            Duration::ZERO
        } else {
            watched.silent.max(INTERVAL)
        };
        let votes = raft.members.members.is_voter(id);
        Some(Member {
            role: if votes { Role::Voter } else { Role::Learner },
            address,
            name: info.name_is_chosen.then(|| info.name.clone()),
            silent,
            lag,
            stable: watched.stable,
            discovered,
        })
    }

    /// Members that say other things of themselves than is committed.
    fn changed(&self, raft: &RaftView) -> BTreeSet<u64> {
        let nodes = raft.members.members.nodes.iter();
        let changed = nodes.filter(|(id, committed)| {
            let about = self.raft.peers().about(**id);
            about.is_some_and(|(info, _)| is_usable(&info) && info != **committed)
        });
        changed.map(|(id, _)| *id).collect()
    }

    fn limits(&self) -> Limits {
        let settings = &self.settings;
        Limits {
            min_voters: usize::try_from(settings.min_voters).unwrap_or(usize::MAX),
            max_voters: usize::try_from(settings.max_voters).unwrap_or(usize::MAX),
            dead_after: Duration::from_millis(settings.dead_after_ms),
            stable_for: STABLE_FOR,
        }
    }
}

/// Whether a node may be committed with this about it: one without an address cannot be reached.
pub(crate) fn is_usable(info: &NodeInfo) -> bool {
    info.address
        .parse::<crate::discovery::PeerAddress>()
        .is_ok()
}

fn candidates(requests: &Requests) -> BTreeMap<u64, Candidate> {
    let joins = requests.joins().into_iter();
    let candidates = joins.filter_map(|(id, info)| {
        let address = info.address.parse().ok()?;
        Some((id, Candidate { address }))
    });
    candidates.collect()
}
