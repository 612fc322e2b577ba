//! What the leader sees of its members, round by round.
//!
//! Silence is what only a leader can judge: contacts missed in its present term, while it held its
//! lease and its own loop was on time. A round that was late, or lacks fresh news of a quorum, adds
//! nothing; after a pause, a loss of touch or in another term all silences begin anew, so that a
//! leader which was paused or cut off blames nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::membership::{Candidate, Limits, MAX_LAG, Member, Role, UNKNOWN_LAG, View};
use super::requests::Requests;
use crate::member::{NodeInfo, Removal};
use crate::raft::network::Timers;
use crate::raft::{RaftNode, RaftView};
use crate::settings::Settings;

/// How often the leader looks.
pub(super) const INTERVAL: Duration = Duration::from_millis(200);
/// How late a round may be before it adds nothing.
const MAX_LATE: Duration = Duration::from_millis(200);
/// How late a round may be before it counts as a pause of this process.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a learner has to keep up before it votes.
const STABLE_FOR: Duration = Duration::from_millis(400);

/// What is remembered of a member between rounds.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    silent: Duration,
    stable: Duration,
    /// Whether the last look found it keeping up.
    kept_up: bool,
}

pub(super) struct Observation {
    raft: RaftNode,
    timers: Timers,
    term: u64,
    watched: BTreeMap<u64, Watched>,
    /// The replicated settings and removed nodes when the state was last seen in this term.
    state: Option<(Settings, BTreeMap<u64, Removal>)>,
    last: Instant,
}

/// What one round has to go on.
struct Round {
    counts: bool,
    elapsed: Duration,
    last_index: u64,
    failed_after: Duration,
}

impl Observation {
    pub(super) fn new(raft: RaftNode, timers: Timers) -> Self {
        Observation {
            raft,
            timers,
            term: 0,
            watched: BTreeMap::new(),
            state: None,
            last: Instant::now(),
        }
    }

    /// This node does not lead: what it saw counts no more.
    pub(super) fn reset(&mut self) {
        self.watched.clear();
        self.state = None;
        self.term = 0;
    }

    /// A change has been carried out, which may have taken a while: that was no pause.
    pub(super) fn resume(&mut self) {
        self.last = Instant::now();
    }

    /// Takes one look; nothing to see while the state is not known up to this term.
    pub(super) fn look(&mut self, raft: &RaftView, requests: &Requests) -> Option<View> {
        if self.term != raft.term {
            self.reset();
            self.term = raft.term;
        }
        self.read_state(raft);
        let (settings, removed) = self.state.clone()?;
        let limits = limits(&settings);
        let now = Instant::now();
        let elapsed = now - std::mem::replace(&mut self.last, now);
        let round = Round {
            counts: self.counts(raft, elapsed),
            elapsed,
            last_index: raft.last_log_index.unwrap_or(0),
            failed_after: limits.failed_after(),
        };
        let nodes = &raft.members.members.nodes;
        // Were one left out because its address cannot be read, a change of voters would drop it.
        let members = nodes
            .iter()
            .map(|(id, info)| Some((*id, self.member(raft, &round, *id, info)?)))
            .collect::<Option<BTreeMap<_, _>>>()?;
        self.watched.retain(|id, _| members.contains_key(id));
        let configs = &raft.members.members.configs;
        Some(View {
            leader: self.raft.peers().me().node_id,
            change_in_flight: raft.members.log_id > raft.committed,
            joint_target: (configs.len() > 1).then(|| configs.last().cloned().unwrap_or_default()),
            candidates: candidates(requests),
            // A voter that had died when the removal was asked for is seen to be silent by then.
            departing: requests.removals(self.missed_after()),
            changed: self.changed(raft),
            removed,
            limits,
            members,
        })
    }

    /// Looks at the state, unless it is in use: what was seen last in this term will do. It has to
    /// hold all that was committed before this leader's term, removals above all.
    fn read_state(&mut self, raft: &RaftView) {
        let knows_the_past = raft.applied.is_some_and(|(term, _)| term == raft.term);
        if !knows_the_past || raft.applied < raft.members.log_id.min(raft.committed) {
            return;
        }
        let seen = self.raft.machine().glance(|replica| {
            let removed = replica.removed().iter();
            let removed = removed.map(|(id, removed)| (id, removed.removal));
            replica
                .seeded()
                .then(|| (replica.settings().clone(), removed.collect()))
        });
        if let Some(Some(seen)) = seen {
            self.state = Some(seen);
        }
    }

    /// Whether this round adds to the silences; forgets them all after a pause or a loss of touch.
    fn counts(&mut self, raft: &RaftView, elapsed: Duration) -> bool {
        let timers = self.timers;
        let alone = raft.members.members.voters().len() == 1;
        let in_touch_within = |ms: u32| {
            let time = Duration::from_millis(ms.into());
            alone || raft.quorum_contact.is_some_and(|at| at.elapsed() < time)
        };
        if elapsed > INTERVAL + PAUSE || !in_touch_within(timers.election_max_ms) {
            self.watched.clear();
            return false;
        }
        elapsed < INTERVAL + MAX_LATE && in_touch_within(timers.election_min_ms)
    }

    /// The time without an answer after which a member is not in contact.
    fn missed_after(&self) -> Duration {
        2 * Duration::from_millis(self.timers.heartbeat_ms.into()) + INTERVAL
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
        let missed_after = self.missed_after();
        let contact = raft.contact.get(&id).copied().flatten();
        let in_contact = is_me || contact.is_some_and(|at| at.elapsed() < missed_after);
        let matched = raft.matched.as_ref();
        let lag = match matched.and_then(|all| all.get(&id).copied().flatten()) {
            _ if is_me => 0,
            Some(index) => round.last_index.saturating_sub(index),
            None => UNKNOWN_LAG,
        };
        let discovered = is_me || peers.met_within(id, round.failed_after);
        let shunned = peers.shunned(id);
        let watched = self.watched.entry(id).or_default();
        watched.silent = match (in_contact, round.counts) {
            (true, _) => Duration::ZERO,
            (false, false) => watched.silent,
            (false, true) => watched.silent + round.elapsed,
        };
        let keeps_up = in_contact && lag <= MAX_LAG;
        watched.stable = match (keeps_up && watched.kept_up, round.counts) {
            (true, true) => watched.stable + round.elapsed,
            (true, false) => watched.stable,
            (false, _) => Duration::ZERO,
        };
        watched.kept_up = keeps_up;
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
            shunned,
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
}

fn limits(settings: &Settings) -> Limits {
    Limits {
        min_voters: usize::try_from(settings.min_voters).unwrap_or(usize::MAX),
        max_voters: usize::try_from(settings.max_voters).unwrap_or(usize::MAX),
        dead_after: Duration::from_millis(settings.dead_after_ms),
        stable_for: STABLE_FOR,
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
