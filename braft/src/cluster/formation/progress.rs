//! What the passing of time does: probe, propose, ask again, take over, join.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Action, Body, Formation, MemberSet, Proposal,
    machine::{MAX_MEMBERS, Phase},
    view::Peer,
};
use crate::discovery::PeerAddress;

impl Formation {
    pub(super) fn tick(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.first_tick.get_or_insert(now);
        self.view.forget(self.timing.fresh, now);
        if self.phase == Phase::Pristine {
            self.propose(now, actions);
            match self.record.promise.clone() {
                Some(promise) => self.pursue(&promise, now, actions),
                None => self.join(now, actions),
            }
        }
        self.initialize_orphan(now, actions);
        self.probe(now, actions);
    }

    /// Asks each address who is there.
    fn probe(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if now < self.next_probe {
            return;
        }
        let interval = match self.phase {
            Phase::Pristine => self.timing.probe,
            Phase::Starting { .. } | Phase::Member { .. } => self.timing.probe_as_member,
        };
        self.next_probe = now + interval;
        for to in self.view.contacts(&self.identity.address) {
            actions.push(Action::Send {
                to,
                message: self.message(Body::Probe, now),
            });
        }
    }

    /// The set this node would form a cluster of; empty while it sees too few, or should join.
    pub(super) fn choice(&self, now: Duration) -> MemberSet {
        let expect = self.identity.expect.map_or(0, |expect| expect as usize);
        let free = self.phase == Phase::Pristine && !self.is_doubled(now);
        if !free || !(1..=MAX_MEMBERS).contains(&expect) || self.fresh_member(now).is_some() {
            return MemberSet::new();
        }
        let mut candidates: MemberSet = self
            .candidates(now)
            .map(|peer| (peer.hello.node_id, peer.hello.address.clone()))
            .collect();
        candidates.insert(self.identity.node_id, self.identity.address.clone());
        if candidates.len() < expect {
            return MemberSet::new();
        }
        candidates.into_iter().take(expect).collect()
    }

    /// Pristine nodes heard of lately that expect as many nodes as this one.
    pub(super) fn candidates(&self, now: Duration) -> impl Iterator<Item = &Peer> {
        let agrees = |peer: &&Peer| {
            peer.hello.cluster_id.is_none() && peer.hello.expect == self.identity.expect
        };
        self.view.fresh(self.timing.fresh, now).filter(agrees)
    }

    /// A member of a cluster that was heard of lately; of several clusters, the lowest id's.
    ///
    /// Which cluster a new node joins when there are two is arbitrary, but it is the same one for
    /// all new nodes.
    pub(super) fn fresh_member(&self, now: Duration) -> Option<(u128, &Peer)> {
        let fresh = self.view.fresh(self.timing.fresh, now);
        let members = fresh.filter_map(|peer| Some((peer.hello.cluster_id?, peer)));
        members.min_by_key(|(cluster_id, peer)| (*cluster_id, peer.hello.node_id))
    }

    /// Whether another node that bears this node's id was heard of lately.
    pub(super) fn is_doubled(&self, now: Duration) -> bool {
        let limit = self.timing.fresh.saturating_mul(4);
        self.double
            .as_ref()
            .is_some_and(|(_, at)| now.saturating_sub(*at) <= limit)
    }

    /// Proposes the chosen set, if it is this node's turn and everyone in it agrees.
    fn propose(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let choice = self.choice(now);
        let lowest = choice.keys().next() == Some(&self.identity.node_id);
        if !lowest || self.record.promise.is_some() || now < self.next_retry || !self.looked(now) {
            return;
        }
        let others: BTreeMap<u64, &Peer> = self
            .candidates(now)
            .map(|peer| (peer.hello.node_id, peer))
            .collect();
        let mut floor = self.record.floor;
        for node_id in choice.keys().skip(1) {
            let Some(peer) = others.get(node_id) else {
                return;
            };
            if peer.hello.promised || !peer.hello.choice.iter().eq(choice.keys()) {
                return;
            }
            floor = floor.max(peer.hello.floor);
        }
        // Out of numbers: nobody gets there by counting, so some peer's floor is garbage.
        let Some(attempt) = floor.checked_add(1) else {
            return;
        };
        self.bind(
            Proposal {
                members: choice,
                attempt,
            },
            actions,
        );
        self.next_retry = now;
    }

    /// Whether there was a fair chance to hear of a cluster before making one.
    fn looked(&self, now: Duration) -> bool {
        let since = now.saturating_sub(self.first_tick.unwrap_or(now));
        if !self.view.lists_all() {
            return since >= self.timing.look_around;
        }
        since >= self.timing.look || self.view.all_answered(&self.identity.address)
    }

    /// Works on the proposal this node is bound to.
    fn pursue(&mut self, promise: &Proposal, now: Duration, actions: &mut Vec<Action>) {
        let Some(complete_since) = self.evidence.complete_since else {
            return self.ask(promise, now, actions);
        };
        let cluster_id = promise.cluster_id();
        if let Some(peer) = self.fresh_member_of(cluster_id, now) {
            // Its leader makes contact anyway, unless this node was removed in the meantime.
            let peer = peer.hello.address.clone();
            self.evidence.member_seen = Some(now);
            if now >= self.next_retry {
                self.next_retry = now + self.timing.retry;
                actions.push(Action::Join { cluster_id, peer });
            }
            return;
        }
        let silent_since = self.evidence.member_seen.unwrap_or(complete_since);
        let patience = self
            .timing
            .takeover
            .saturating_mul(promise.rank(self.identity.node_id));
        if now.saturating_sub(silent_since) >= patience {
            self.phase = Phase::Starting { cluster_id };
            actions.push(Action::Initialize {
                cluster_id,
                members: promise.members.clone(),
            });
        }
    }

    fn fresh_member_of(&self, cluster_id: u128, now: Duration) -> Option<&Peer> {
        let is_member = |peer: &&Peer| peer.hello.cluster_id == Some(cluster_id);
        self.view.fresh(self.timing.fresh, now).find(is_member)
    }

    /// Asks the members that have not been heard to promise.
    fn ask(&mut self, promise: &Proposal, now: Duration, actions: &mut Vec<Action>) {
        if now < self.next_retry {
            return;
        }
        self.next_retry = now + self.timing.retry;
        for (node_id, proposed) in &promise.members {
            if !self.evidence.promised.contains(node_id) {
                let to = self.view.address(*node_id).unwrap_or(proposed).clone();
                let message = self.message(Body::Promise(promise.clone()), now);
                actions.push(Action::Send { to, message });
            }
        }
    }

    /// Asks a cluster that was found to take this node in.
    fn join(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let Some((cluster_id, peer)) = self.fresh_member(now) else {
            return;
        };
        let peer: PeerAddress = peer.hello.address.clone();
        self.joining = Some(cluster_id);
        if now >= self.next_retry {
            self.next_retry = now + self.timing.retry;
            actions.push(Action::Join { cluster_id, peer });
        }
    }

    /// Initializes a node that was let into its own proposal's cluster and then left alone.
    ///
    /// Whoever made contact may have lost its disk before it could pass on the first entry; were
    /// each to wait for another, nobody would hold it.
    fn initialize_orphan(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let Phase::Member {
            cluster_id,
            since,
            initialized: false,
        } = self.phase
        else {
            return;
        };
        let Some(promise) = &self.record.promise else {
            return;
        };
        let turns = promise.rank(self.identity.node_id).saturating_add(1);
        let patience = self.timing.takeover.saturating_mul(turns);
        if promise.cluster_id() == cluster_id && now.saturating_sub(since) >= patience {
            self.phase = Phase::Starting { cluster_id };
            let members = promise.members.clone();
            actions.push(Action::Initialize {
                cluster_id,
                members,
            });
        }
    }

    /// Says what the node is waiting for, when that has changed.
    pub(super) fn report(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let status = self.status(now);
        if status != self.reported {
            self.reported.clone_from(&status);
            actions.push(Action::Report(status));
        }
    }
}
