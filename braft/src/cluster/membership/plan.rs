//! The one change to make now, and a reason for each that is not made.

use std::{collections::BTreeSet, fmt};

use super::view::{Candidate, MAX_MEMBERS, Member, Removal, Role, View};
use crate::cluster::identity::DisplayNode;

/// What the leader does next about its members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The change to make now; at most one per round.
    pub(crate) decision: Option<Decision>,
    /// Changes that suggest themselves and are not made.
    pub(crate) refusals: Vec<Refusal>,
}

/// A change and the reason for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// What to do.
    pub(crate) change: Change,
    /// Why.
    pub(crate) reason: String,
}

/// A change that is not made and the reason why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Whom it is about; `None` when it is about all.
    pub(crate) node_id: Option<u64>,
    /// Why not.
    pub(crate) reason: String,
}

/// One change of the membership, that is one proposal to raft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Leave the joint configuration for the voters it leads to.
    FinishJoint {
        /// The voters it leads to.
        voters: BTreeSet<u64>,
    },
    /// Take a candidate in as a learner.
    AddLearner {
        /// Who.
        node_id: u64,
    },
    /// Remove a learner.
    RemoveLearner {
        /// Who.
        node_id: u64,
        /// The reason to keep on record.
        removal: Removal,
    },
    /// Let learners vote.
    Promote {
        /// Who: one, or two to get from one odd number of voters to the next.
        node_ids: BTreeSet<u64>,
    },
    /// Put a learner in a voter's place, in one joint change, and remove the voter.
    ReplaceVoter {
        /// Who goes.
        old: u64,
        /// Who votes instead.
        new: u64,
        /// The reason to keep on record.
        removal: Removal,
    },
    /// Commit what members say of themselves now, where they are reached above all.
    Update {
        /// Who.
        node_ids: BTreeSet<u64>,
    },
    /// Remove a voter for whom there is no replacement.
    RemoveVoter {
        /// Who.
        node_id: u64,
        /// The reason to keep on record.
        removal: Removal,
    },
}

impl Change {
    /// The voters once the change is done.
    pub(crate) fn resulting_voters(&self, view: &View) -> BTreeSet<u64> {
        let mut voters = view.voters();
        match self {
            Self::FinishJoint { voters: target } => voters.clone_from(target),
            Self::AddLearner { .. } | Self::RemoveLearner { .. } | Self::Update { .. } => {}
            Self::Promote { node_ids } => voters.extend(node_ids),
            Self::ReplaceVoter { old, new, .. } => {
                voters.remove(old);
                voters.insert(*new);
            }
            Self::RemoveVoter { node_id, .. } => {
                voters.remove(node_id);
            }
        }
        voters
    }
}

/// Decides on the next change.
///
/// In this order: finish a joint configuration, take candidates in, remove learners, replace or
/// remove a voter, promote. Taking in comes before removing, because a replacement has to be a
/// learner first; removing comes before promoting, because a seat is better moved than added. What
/// members say of themselves comes last: it is a hint, and one that keeps changing must not hold up
/// the rest.
pub(crate) fn plan(view: &View) -> Plan {
    let mut planner = Planner {
        view,
        plan: Plan::default(),
    };
    if view.change_in_flight {
        planner.refuse(None, "a change of members is not committed yet");
        return planner.plan;
    }
    if let Some(voters) = &view.joint_target {
        let change = Change::FinishJoint {
            voters: voters.clone(),
        };
        planner.decide(change, "an earlier leader left a joint configuration");
        return planner.plan;
    }
    planner.report_shunned();
    planner.admit();
    planner.remove_learners();
    planner.remove_voters();
    planner.promote();
    planner.update();
    planner.plan
}

struct Planner<'a> {
    view: &'a View,
    plan: Plan,
}

/// Why a member is to go, and who is to take its seat.
struct Departure {
    removal: Removal,
    successor: Option<u64>,
    reason: String,
}

impl Planner<'_> {
    /// Keeps the first decision; the later ones wait for their round.
    fn decide(&mut self, change: Change, reason: impl Into<String>) {
        if self.plan.decision.is_none() {
            self.plan.decision = Some(Decision {
                change,
                reason: reason.into(),
            });
        }
    }

    fn refuse(&mut self, node_id: Option<u64>, reason: impl Into<String>) {
        self.plan.refusals.push(Refusal {
            node_id,
            reason: reason.into(),
        });
    }

    fn admit(&mut self) {
        let view = self.view;
        for (node_id, Candidate { address }) in &view.candidates {
            if view.members.contains_key(node_id) {
                continue;
            }
            let removal = view.removed.get(node_id);
            if removal == Some(&Removal::Operator) {
                let reason = "not taken in: an operator removed it; give it an empty data \
                              directory to join as a new node";
                self.refuse(Some(*node_id), reason);
            } else if view.members.len() >= MAX_MEMBERS {
                let reason = format!("not taken in: there are {MAX_MEMBERS} members already");
                self.refuse(Some(*node_id), reason);
            } else {
                let how = if removal.is_some() {
                    "comes back"
                } else {
                    "asks to join"
                };
                let change = Change::AddLearner { node_id: *node_id };
                self.decide(change, format!("the node at {address} {how}"));
            }
        }
    }

    /// Why a member is to go, if it is.
    fn departure(&self, node_id: u64, member: &Member) -> Option<Departure> {
        let silent = member.silent;
        if self.view.departing.contains(&node_id) {
            let removal = Removal::Operator;
            return Some(Departure {
                removal,
                successor: None,
                reason: "its removal was asked for".to_owned(),
            });
        }
        if let Some(successor) = self.view.successor(node_id, member) {
            let reason = format!(
                "silent for {silent:?}, and {} has taken its place",
                DisplayNode(successor)
            );
            let removal = Removal::Superseded;
            return Some(Departure {
                removal,
                successor: Some(successor),
                reason,
            });
        }
        let dead_after = self.view.limits.dead_after;
        let reason = format!("silent for {silent:?}, longer than {dead_after:?}");
        let removal = Removal::Dead;
        let dead = self.view.is_dead(node_id, member);
        dead.then_some(Departure {
            removal,
            successor: None,
            reason,
        })
    }

    /// Says whom this leader does not speak to.
    fn report_shunned(&mut self) {
        let view = self.view;
        for (node_id, member) in &view.members {
            if let Some(why) = &member.shunned {
                self.refuse(
                    Some(*node_id),
                    format!("not spoken to, and not removed: {why}"),
                );
            }
        }
    }

    fn remove_learners(&mut self) {
        let view = self.view;
        for (node_id, member) in members(view, Role::Learner) {
            if let Some(departure) = self.departure(node_id, member) {
                let change = Change::RemoveLearner {
                    node_id,
                    removal: departure.removal,
                };
                self.decide(change, departure.reason);
            }
        }
    }

    fn remove_voters(&mut self) {
        let view = self.view;
        let voters = view.voters().len();
        let failed = view.failed_voters();
        let tolerated = voters.saturating_sub(1) / 2;
        for (node_id, member) in members(view, Role::Voter) {
            let Some(departure) = self.departure(node_id, member) else {
                continue;
            };
            let Departure {
                removal, reason, ..
            } = &departure;
            if node_id == view.leader {
                let reason = format!("not removed though {reason}: it leads; hand over first");
                self.refuse(Some(node_id), reason);
            } else if failed > tolerated {
                let reason = format!(
                    "not removed though {reason}: {failed} of {voters} voters are failed, and \
                     beyond {tolerated} none is removed"
                );
                self.refuse(Some(node_id), reason);
            } else if let Some(new) = self.replacement(&departure)
                && self.can_commit_without(node_id, Some(new))
            {
                let change = Change::ReplaceVoter {
                    old: node_id,
                    new,
                    removal: *removal,
                };
                self.decide(change, reason.clone());
            } else if voters <= view.limits.min_voters {
                let reason = format!(
                    "not removed though {reason}: {voters} voters are left, min_voters is {}, \
                     and no learner is ready to take the seat",
                    view.limits.min_voters
                );
                self.refuse(Some(node_id), reason);
            } else if !self.can_commit_without(node_id, None) {
                let reason = format!(
                    "not removed though {reason}: of the voters that would be left, too few are in \
                     contact and caught up to be a majority; try again when they are"
                );
                self.refuse(Some(node_id), reason);
            } else if departure.successor.is_some() && !view.is_dead(node_id, member) {
                let reason = format!("not removed yet though {reason}: that one cannot vote yet");
                self.refuse(Some(node_id), reason);
            } else {
                let change = Change::RemoveVoter {
                    node_id,
                    removal: *removal,
                };
                self.decide(change, reason.clone());
            }
        }
    }

    /// Whether the cluster could go on at once without a voter. The new configuration counts from the
    /// moment it is proposed, so voters that are merely silent count as gone.
    fn can_commit_without(&self, node_id: u64, replacement: Option<u64>) -> bool {
        let mut voters = self.view.voters();
        voters.remove(&node_id);
        voters.extend(replacement);
        self.view.can_commit(&voters)
    }

    /// The learner to take a leaving voter's seat: its successor, else any that is ready.
    fn replacement(&self, departure: &Departure) -> Option<u64> {
        let ready = self.ready();
        match departure.successor {
            Some(successor) if ready.contains(&successor) => Some(successor),
            _ => ready.first().copied(),
        }
    }

    /// Learners that may vote.
    fn ready(&self) -> BTreeSet<u64> {
        let learners = members(self.view, Role::Learner);
        let ready = learners.filter(|(node_id, member)| {
            self.view.unready(member).is_none() && !self.view.departing.contains(node_id)
        });
        ready.map(|(node_id, _)| node_id).collect()
    }

    fn update(&mut self) {
        let node_ids: BTreeSet<u64> = self
            .view
            .changed
            .iter()
            .copied()
            .filter(|node_id| self.view.members.contains_key(node_id))
            .collect();
        if !node_ids.is_empty() {
            let reason = "they say other things of themselves than is committed";
            self.decide(Change::Update { node_ids }, reason);
        }
    }

    fn promote(&mut self) {
        let view = self.view;
        let (voters, max_voters) = (view.voters().len(), view.limits.max_voters);
        let ready = self.ready();
        let seats = seats(voters, max_voters, ready.len());
        for (node_id, member) in members(view, Role::Learner) {
            if let Some(why) = view.unready(member) {
                self.refuse(Some(node_id), format!("does not vote yet: {why}"));
            } else if voters >= max_voters {
                let reason = format!("stays a learner: all {max_voters} seats are taken");
                self.refuse(Some(node_id), reason);
            } else if seats == 0 {
                let reason = format!(
                    "does not vote yet: an even number of voters tolerates no more failures than \
                     {voters}, so it waits for another learner"
                );
                self.refuse(Some(node_id), reason);
            }
        }
        let node_ids: BTreeSet<u64> = ready.into_iter().take(seats).collect();
        if !node_ids.is_empty() {
            let reason = format!("caught up and stable, and {voters} of {max_voters} seats taken");
            self.decide(Change::Promote { node_ids }, reason);
        }
    }
}

/// How many learners get a seat in this round.
///
/// The 4th, 6th, … voter waits for one more, and both come in one change; unless it is the last
/// one allowed, for which there is nobody to wait.
fn seats(voters: usize, max_voters: usize, ready: usize) -> usize {
    let free = max_voters.saturating_sub(voters);
    let makes_even = voters >= 3 && voters % 2 == 1;
    match ready.min(free) {
        0 => 0,
        1 if makes_even && free > 1 => 0,
        _ if makes_even && free > 1 => 2,
        _ => 1,
    }
}

fn members(view: &View, role: Role) -> impl Iterator<Item = (u64, &Member)> {
    let members = view
        .members
        .iter()
        .filter(move |(_, member)| member.role == role);
    members.map(|(node_id, member)| (*node_id, member))
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FinishJoint { .. } => write!(f, "finish the joint configuration"),
            Self::AddLearner { node_id } => write!(f, "add learner {}", DisplayNode(*node_id)),
            Self::RemoveLearner { node_id, .. } => {
                write!(f, "remove learner {}", DisplayNode(*node_id))
            }
            Self::Promote { node_ids } => {
                write!(f, "promote")?;
                node_ids
                    .iter()
                    .try_for_each(|node_id| write!(f, " {}", DisplayNode(*node_id)))
            }
            Self::Update { node_ids } => {
                write!(f, "update what is committed about")?;
                node_ids
                    .iter()
                    .try_for_each(|node_id| write!(f, " {}", DisplayNode(*node_id)))
            }
            Self::ReplaceVoter { old, new, .. } => {
                write!(
                    f,
                    "replace voter {} by {}",
                    DisplayNode(*old),
                    DisplayNode(*new)
                )
            }
            Self::RemoveVoter { node_id, .. } => {
                write!(f, "remove voter {}", DisplayNode(*node_id))
            }
        }
    }
}
