//! What the leader knows when it plans.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::discovery::PeerAddress;
pub(crate) use crate::member::Removal;
use crate::planted::{self, Bug};

/// A learner is caught up when it lags by no more than so many entries. Small enough that it is
/// made up within one round of appends, large enough to be reached under full load.
pub(crate) const MAX_LAG: u64 = 250;
/// The lag of a member of which nothing is known.
pub(crate) const UNKNOWN_LAG: u64 = u64::MAX;

/// A member that has missed every contact for so long counts as failed, and may be superseded.
pub(crate) const FAILED_AFTER: Duration = Duration::from_secs(10);

/// Most members, learners included: each costs the leader a replication stream.
pub(crate) const MAX_MEMBERS: usize = 64;

/// Everything [`plan()`](super::plan()) looks at.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// This node, which leads.
    pub(crate) leader: u64,
    /// Members by id; the voters of both halves while the configuration is joint.
    pub(crate) members: BTreeMap<u64, Member>,
    /// A membership entry is not committed yet.
    pub(crate) change_in_flight: bool,
    /// The configuration is joint: the voters it leads to. `None` if it is uniform.
    pub(crate) joint_target: Option<BTreeSet<u64>>,
    /// Nodes that ask to be taken in, by id.
    pub(crate) candidates: BTreeMap<u64, Candidate>,
    /// Members whose removal was asked for: by themselves, or by an operator.
    pub(crate) departing: BTreeSet<u64>,
    /// Members that say other things of themselves than is committed, their address above all.
    pub(crate) changed: BTreeSet<u64>,
    /// Nodes removed earlier, as far as that is still kept.
    pub(crate) removed: BTreeMap<u64, Removal>,
    /// The replicated settings this plan obeys.
    pub(crate) limits: Limits,
}

/// The replicated settings a plan obeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Removing stops here.
    pub(crate) min_voters: usize,
    /// Promoting stops here.
    pub(crate) max_voters: usize,
    /// A member that has missed every contact for so long is dead.
    pub(crate) dead_after: Duration,
    /// How long a learner must have kept up before it votes.
    pub(crate) stable_for: Duration,
}

/// Whether a member votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Counts for quorums.
    Voter,
    /// Receives the log only.
    Learner,
}

/// One member as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Whether it votes.
    pub(crate) role: Role,
    /// Its committed address.
    pub(crate) address: PeerAddress,
    /// The name its user gave it explicitly; a name made up from the host does not count.
    pub(crate) name: Option<String>,
    /// For how long it has missed every contact, counted in the present term only, while this
    /// leader held its lease and its own loop was on time. Zero when the last contact succeeded.
    pub(crate) silent: Duration,
    /// Entries it is behind the leader; [`UNKNOWN_LAG`] before it has said how far its log reaches.
    pub(crate) lag: u64,
    /// For how long it has been in contact and within [`MAX_LAG`] without a break.
    pub(crate) stable: Duration,
    /// Discovery shows this id at some address.
    pub(crate) discovered: bool,
    /// Why this leader does not speak to it, though it could: then its silence proves nothing.
    pub(crate) shunned: Option<String>,
}

/// A node that asks to be taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Where it is reached.
    pub(crate) address: PeerAddress,
}

impl Limits {
    /// The defaults a cluster is formed with.
    #[cfg(test)]
    pub(crate) const DEFAULT: Self = Self {
        min_voters: 2,
        max_voters: 5,
        dead_after: Duration::from_secs(120),
        stable_for: Duration::from_secs(2),
    };

    /// The silence after which a member counts as failed: never longer than makes it dead.
    pub(crate) fn failed_after(&self) -> Duration {
        FAILED_AFTER.min(self.dead_after)
    }
}

impl View {
    /// Ids of the voters.
    pub(crate) fn voters(&self) -> BTreeSet<u64> {
        let voters = self
            .members
            .iter()
            .filter(|(_, member)| member.role == Role::Voter);
        voters.map(|(node_id, _)| *node_id).collect()
    }

    /// Whether a member has missed every contact for as long as makes it failed.
    pub(crate) fn is_failed(&self, member: &Member) -> bool {
        member.shunned.is_none() && member.silent >= self.limits.failed_after()
    }

    /// Whether these voters could commit at once: a majority of them is in contact and caught up.
    pub(super) fn can_commit(&self, voters: &BTreeSet<u64>) -> bool {
        let is_ready = |node_id: &&u64| {
            self.members.get(node_id).is_some_and(|member| {
                **node_id == self.leader || member.silent.is_zero() && member.lag <= MAX_LAG
            })
        };
        voters.iter().filter(is_ready).count() > voters.len() / 2
    }

    /// How a member is, in a word or two.
    pub(crate) fn health(&self, node_id: u64, member: &Member) -> &'static str {
        if self.is_dead(node_id, member) {
            "dead"
        } else if self.is_failed(member) {
            "failed"
        } else if !member.silent.is_zero() {
            "silent"
        } else if member.lag > MAX_LAG {
            "catching up"
        } else {
            "healthy"
        }
    }

    /// Voters that are failed.
    pub(crate) fn failed_voters(&self) -> usize {
        let voters = self
            .members
            .values()
            .filter(|member| member.role == Role::Voter);
        voters.filter(|member| self.is_failed(member)).count()
    }

    /// Whether a member is silent for as long as the settings allow.
    pub(super) fn is_dead(&self, node_id: u64, member: &Member) -> bool {
        node_id != self.leader
            && member.shunned.is_none()
            && (member.silent >= self.limits.dead_after
                || planted::is(Bug::RemoveOnSilentDiscovery) && !member.discovered)
    }

    /// The learner that has taken a member's place: it answers at the same address or bears the
    /// same given name, and the member itself is silent and seen nowhere.
    pub(super) fn successor(&self, node_id: u64, member: &Member) -> Option<u64> {
        if node_id == self.leader || !self.is_failed(member) || member.discovered {
            return None;
        }
        let takes_place = |other: &Member| {
            other.role == Role::Learner
                && other.silent.is_zero()
                && (other.address == member.address
                    || (other.name.is_some() && other.name == member.name))
        };
        let mut others = self
            .members
            .iter()
            .filter(|(other_id, _)| **other_id != node_id);
        others
            .find(|(_, other)| takes_place(other))
            .map(|(other_id, _)| *other_id)
    }

    /// Why a learner cannot vote yet, if so.
    pub(super) fn unready(&self, learner: &Member) -> Option<String> {
        if !learner.silent.is_zero() {
            Some("it is not in contact".to_owned())
        } else if learner.lag == UNKNOWN_LAG {
            Some("it has not said yet how far its log reaches".to_owned())
        } else if learner.lag > MAX_LAG {
            Some(format!(
                "it is {} entries behind, more than {MAX_LAG}",
                learner.lag
            ))
        } else if learner.stable < self.limits.stable_for {
            let (stable, needed) = (learner.stable, self.limits.stable_for);
            Some(format!("it has kept up for {stable:?} of {needed:?}"))
        } else {
            None
        }
    }
}
