//! The state machine: its state, and what a message does to it.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Action, Body, Event, Hello, Message, PromiseRecord, Proposal, Refusal, Timing, view::View,
};
use crate::discovery::{PeerAddress, PeerSet};
use crate::planted::{self, Bug};

/// Most members one proposal may have; larger ones are not looked at.
pub(super) const MAX_MEMBERS: usize = 64;

/// Who this node is; fixed while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Id in its data directory.
    pub(crate) node_id: u64,
    /// Name of the cluster it wants to be in.
    pub(crate) cluster_name: String,
    /// Where other nodes reach its raft server.
    pub(crate) address: PeerAddress,
    /// How many pristine nodes form a cluster; `None`: it only joins, unless discovery knows.
    pub(crate) expect: Option<u32>,
}

/// What the data directory says at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// No cluster id: the node may form or join.
    Pristine,
    /// A cluster id is there.
    Member {
        /// The id.
        cluster_id: u128,
        /// Whether raft has any state.
        initialized: bool,
    },
}

/// How far the node has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No cluster id on disk.
    Pristine,
    /// The driver was told to write a cluster id and to start raft.
    Starting { cluster_id: u128 },
    /// The cluster id is on disk.
    Member {
        cluster_id: u128,
        since: Duration,
        initialized: bool,
    },
}

/// What is known about the proposal this node is bound to. Volatile: after a restart it is
/// gathered again.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// Members known to have promised, this node included.
    pub(super) promised: BTreeSet<u64>,
    /// Since when the proposal is known to be complete.
    pub(super) complete_since: Option<Duration>,
    /// When a member of the resulting cluster was last known to be there.
    pub(super) member_seen: Option<Duration>,
}

/// The promise protocol of one node, without I/O and without a clock.
///
/// `now` is the time since any fixed moment, the same for all calls, and never goes back.
#[derive(Debug)]
pub(crate) struct Formation {
    pub(super) identity: Identity,
    pub(super) timing: Timing,
    /// As it is on disk once the actions handed out so far are carried out.
    pub(super) record: PromiseRecord,
    pub(super) phase: Phase,
    pub(super) view: View,
    pub(super) evidence: Evidence,
    /// Cluster this node has asked to be taken in; only its traffic is let in.
    pub(super) joining: Option<u128>,
    /// Another node that bears this node's id, and when it was heard of.
    pub(super) double: Option<(PeerAddress, Duration)>,
    pub(super) first_tick: Option<Duration>,
    pub(super) next_probe: Duration,
    pub(super) next_retry: Duration,
    pub(super) reported: String,
}

impl Formation {
    /// Sets the protocol up with what is on disk.
    pub(crate) fn new(
        identity: Identity,
        record: PromiseRecord,
        start: Start,
        timing: Timing,
    ) -> Self {
        let phase = match start {
            Start::Pristine => Phase::Pristine,
            Start::Member {
                cluster_id,
                initialized,
            } => Phase::Member {
                cluster_id,
                since: Duration::ZERO,
                initialized,
            },
        };
        let mut formation = Self {
            identity,
            timing,
            record,
            phase,
            view: View::default(),
            evidence: Evidence::default(),
            joining: None,
            double: None,
            first_tick: None,
            next_probe: Duration::ZERO,
            next_retry: Duration::ZERO,
            reported: String::new(),
        };
        formation.reset_evidence();
        formation
    }

    /// The cluster id that is on disk.
    pub(crate) fn cluster_id(&self) -> Option<u128> {
        match self.phase {
            Phase::Member { cluster_id, .. } => Some(cluster_id),
            Phase::Pristine | Phase::Starting { .. } => None,
        }
    }

    /// Takes in one event and says what to do.
    pub(crate) fn handle(&mut self, event: Event, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Tick => self.tick(now, &mut actions),
            Event::Discovered(set) => self.discovered(set),
            Event::Received(message) => self.receive(*message, now, &mut actions),
            Event::Contacted(cluster_id) => self.contacted(cluster_id, &mut actions),
            Event::Started {
                cluster_id,
                initialized,
            } => {
                self.phase = Phase::Member {
                    cluster_id,
                    since: now,
                    initialized,
                };
            }
        }
        self.report(now, &mut actions);
        actions
    }

    fn discovered(&mut self, set: PeerSet) {
        // The user's own number comes first; of a source's, the first one it gives.
        let given = set.expect.filter(|nodes| *nodes > 0);
        let given = given.and_then(|nodes| u32::try_from(nodes).ok());
        self.identity.expect = self.identity.expect.or(given);
        self.view.set_discovered(set);
    }

    /// Who this node is right now.
    pub(super) fn hello(&self, now: Duration) -> Hello {
        Hello {
            node_id: self.identity.node_id,
            cluster_name: self.identity.cluster_name.clone(),
            address: self.identity.address.clone(),
            cluster_id: self.cluster_id(),
            expect: self.identity.expect,
            promised: self.record.promise.is_some(),
            floor: self.record.floor,
            choice: self.choice(now).into_keys().collect(),
            knows: self.view.gossip(self.timing.fresh, now),
        }
    }

    pub(super) fn message(&self, body: Body, now: Duration) -> Message {
        Message {
            sender: self.hello(now),
            body,
        }
    }

    fn receive(&mut self, message: Message, now: Duration, actions: &mut Vec<Action>) {
        let Message { sender, body } = message;
        if sender.cluster_name != self.identity.cluster_name {
            return;
        }
        if sender.node_id == self.identity.node_id {
            if sender.address != self.identity.address {
                self.double = Some((sender.address, now));
            }
            return;
        }
        let (node_id, cluster_id) = (sender.node_id, sender.cluster_id);
        self.view.learn(sender, now);
        if let Some(cluster_id) = cluster_id {
            self.heard_of_cluster(node_id, cluster_id, now, actions);
        }
        match body {
            Body::Probe => actions.push(Action::Reply(self.message(Body::Here, now))),
            Body::Here => {}
            Body::Promise(proposal) => self.asked(node_id, proposal, now, actions),
            Body::Promised(proposal) => self.promised(node_id, &proposal, now),
            Body::Refused { proposal, .. } => {
                if proposal.contains(node_id) && self.bound_by(&proposal) {
                    self.release(now, actions);
                }
            }
        }
    }

    /// A node belongs to a cluster, which may complete the proposal or prove it dead.
    fn heard_of_cluster(
        &mut self,
        node_id: u64,
        cluster_id: u128,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let Some(promise) = &self.record.promise else {
            return;
        };
        if promise.cluster_id() == cluster_id {
            self.evidence.complete_since.get_or_insert(now);
        } else if promise.contains(node_id) {
            self.release(now, actions);
        }
    }

    /// A member of a set has promised it and asks for the same.
    fn asked(
        &mut self,
        node_id: u64,
        proposal: Proposal,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let own_id = self.identity.node_id;
        let plausible = proposal.members.len() <= MAX_MEMBERS;
        if !plausible || !proposal.contains(node_id) || !proposal.contains(own_id) {
            return;
        }
        // To ask is to have promised.
        self.promised(node_id, &proposal, now);
        let body = match self.refusal(&proposal, now) {
            _ if self.bound_by(&proposal) => Body::Promised(proposal),
            None => {
                self.bind(proposal.clone(), actions);
                self.promised(node_id, &proposal, now);
                self.next_retry = now + self.timing.retry;
                Body::Promised(proposal)
            }
            Some(reason) => {
                // A member need not write: the cluster id on its disk keeps it from promising.
                if self.cluster_id().is_none() && proposal.attempt > self.record.floor {
                    self.record.floor = proposal.attempt;
                    actions.push(Action::Persist(self.record.clone()));
                }
                Body::Refused { proposal, reason }
            }
        };
        actions.push(Action::Reply(self.message(body, now)));
    }

    /// Why a proposal cannot be promised, if so.
    fn refusal(&self, proposal: &Proposal, now: Duration) -> Option<Refusal> {
        let joining = self.fresh_member(now).is_some();
        if self.phase != Phase::Pristine || joining {
            Some(Refusal::FoundCluster)
        } else if self.record.promise.is_some() {
            Some(Refusal::Bound)
        } else if proposal.attempt <= self.record.floor {
            Some(Refusal::Earlier)
        } else if !self.choice(now).keys().eq(proposal.members.keys()) {
            Some(Refusal::OtherChoice)
        } else {
            None
        }
    }

    fn promised(&mut self, node_id: u64, proposal: &Proposal, now: Duration) {
        if !self.bound_by(proposal) || !proposal.contains(node_id) {
            return;
        }
        self.evidence.promised.insert(node_id);
        if self.evidence.promised.len() == proposal.members.len() {
            self.evidence.complete_since.get_or_insert(now);
        }
    }

    pub(super) fn bound_by(&self, proposal: &Proposal) -> bool {
        self.record.promise.as_ref() == Some(proposal)
    }

    /// Takes a promise on; the caller has seen that it may.
    pub(super) fn bind(&mut self, proposal: Proposal, actions: &mut Vec<Action>) {
        debug_assert!(self.record.promise.is_none() && proposal.attempt > self.record.floor);
        self.record = PromiseRecord {
            floor: proposal.attempt,
            promise: Some(proposal),
        };
        self.joining = None;
        self.reset_evidence();
        actions.push(Action::Persist(self.record.clone()));
    }

    /// Lets go of a promise that can never be kept, and spares the others the asking.
    fn release(&mut self, now: Duration, actions: &mut Vec<Action>) {
        // A proposal for which the driver was told to start is complete, hence not dead.
        if self.phase != Phase::Pristine {
            return;
        }
        let Some(proposal) = self.record.promise.take() else {
            return;
        };
        self.reset_evidence();
        self.next_retry = now + self.timing.retry;
        actions.push(Action::Persist(self.record.clone()));
        for to in self.others(&proposal) {
            let body = Body::Refused {
                proposal: proposal.clone(),
                reason: Refusal::Released,
            };
            actions.push(Action::Send {
                to,
                message: self.message(body, now),
            });
        }
    }

    /// Raft traffic came in before there is a cluster id on disk.
    fn contacted(&mut self, cluster_id: u128, actions: &mut Vec<Action>) {
        let ours = match &self.record.promise {
            // It comes from a member, so the proposal is complete.
            Some(promise) => promise.cluster_id() == cluster_id,
            None => self.joining == Some(cluster_id),
        };
        if self.phase == Phase::Pristine && ours {
            self.phase = Phase::Starting { cluster_id };
            actions.push(Action::Follow { cluster_id });
        }
    }

    fn reset_evidence(&mut self) {
        self.evidence = Evidence::default();
        if self.record.promise.is_some() {
            self.evidence.promised.insert(self.identity.node_id);
        }
        if let Some(promise) = &self.record.promise
            && (promise.members.len() == 1 || planted::is(Bug::FormWithoutPromises))
        {
            self.evidence.complete_since = Some(Duration::ZERO);
        }
    }

    /// Addresses of a proposal's other members: the last one heard, else the proposed one.
    pub(super) fn others(&self, proposal: &Proposal) -> Vec<PeerAddress> {
        let members = proposal.members.iter();
        let others = members.filter(|(node_id, _)| **node_id != self.identity.node_id);
        others
            .map(|(node_id, proposed)| self.view.address(*node_id).unwrap_or(proposed).clone())
            .collect()
    }
}
