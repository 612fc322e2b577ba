//! Where calls enter a node: to the leader's log, to its readers, or on to the leader.

use std::cmp::Ordering;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Span;

use super::core::{Core, Stopped, leader_elsewhere};
use super::feed;
use super::fresh::Fresh;
use crate::call::ReadLevel;
use crate::entry::Item;
use crate::error::Error;
use crate::event::{EventSource, Since};
use crate::machine::stale_fence;
use crate::raft::{Admitted, Proposal, RaftNode, Read, TOO_LATE};
use crate::request::{Action, Gateway, Incoming, LeaderNews, Refusal};

/// The longest a node lets a read wait until it has seen what the client has seen.
const SESSION_WAIT: Duration = Duration::from_millis(500);

impl Gateway for Core {
    fn submit(&self, calls: Vec<Incoming>) {
        if let Some(Stopped::Fatal(why)) = &*self.stopped.borrow() {
            for call in calls {
                let text = format!("this node has stopped: {why}");
                call.reply.refuse(Error::fatal(text));
            }
            return;
        }
        let Some(raft) = self.raft() else {
            for call in calls {
                let text = "this node is in no cluster yet";
                call.reply.refuse(Refusal::not_here(text, None));
            }
            return;
        };
        let now = Instant::now();
        let leads = raft.is_leader();
        let full = *self.disk_low.borrow();
        let out_of_service = leads && raft.out_of_service().is_some();
        let mut local = Vec::new();
        let mut elsewhere = Vec::new();
        for mut call in calls {
            if leads || is_read_here(&call.action) {
                call = self.metered(call, now);
            }
            let Action::Query { level, .. } = call.action else {
                match call.action {
                    _ if !leads => elsewhere.push(call),
                    _ if out_of_service => refuse_out_of_service(raft, call),
                    Action::ReadIndex => raft.read_index(call.reply),
                    _ if full => refuse_full(call),
                    // To close a session makes room.
                    Action::CloseSession { .. } => propose(raft, call),
                    _ if is_too_late(raft, &call, now) => {
                        call.reply.refuse(Refusal::busy(TOO_LATE));
                    }
                    _ => propose(raft, call),
                }
                continue;
            };
            match level {
                ReadLevel::Local => local.extend(read(raft, call)),
                // One that has to wait must not hold up the others.
                ReadLevel::Session => {
                    // A node that is cut off catches up much later: another one may be asked.
                    call.deadline = call.deadline.min(now + SESSION_WAIT);
                    raft.read_at(0, read(raft, call).into_iter().collect());
                }
                ReadLevel::LocalAtMost(age) => match now.checked_sub(age) {
                    Some(since) => self.read_fresh(raft, call, since, Some(age)),
                    // Longer than a clock can count is no bound.
                    None => local.extend(read(raft, call)),
                },
                ReadLevel::Follower if !leads => self.read_fresh(raft, call, now, None),
                _ if !leads => elsewhere.push(call),
                _ if out_of_service => refuse_out_of_service(raft, call),
                ReadLevel::Lease => {
                    if let Some(read) = read(raft, call) {
                        raft.read_by_lease(read);
                    }
                }
                ReadLevel::Linearizable | ReadLevel::Follower => {
                    if let Some(read) = read(raft, call) {
                        raft.read(read);
                    }
                }
            }
        }
        if !local.is_empty() {
            raft.read_at(0, local);
        }
        if !elsewhere.is_empty() {
            self.pass_on(raft, elsewhere);
        }
    }

    fn events(&self, service: &str, since: Since) -> EventSource {
        feed::events(self, service, since)
    }

    fn cluster_id(&self) -> Option<u128> {
        self.peers().cluster_id()
    }

    fn watch_leader(&self) -> watch::Receiver<Option<LeaderNews>> {
        self.leader_news.subscribe()
    }
}

/// Says in a call's span which request it is, and whose trace it belongs to.
fn describe(span: &Span, call: &Incoming) {
    if span.is_disabled() {
        return;
    }
    if let Some(trace) = call.trace {
        trace.adopt(span);
    }
    if let Action::Command {
        session, sequence, ..
    } = call.action
    {
        span.record("session", session).record("sequence", sequence);
    }
}

/// Whether a call is a query that every node answers from its own state.
fn is_read_here(action: &Action) -> bool {
    let Action::Query { level, .. } = action else {
        return false;
    };
    match level {
        ReadLevel::Local | ReadLevel::LocalAtMost(_) | ReadLevel::Session | ReadLevel::Follower => {
            true
        }
        ReadLevel::Linearizable | ReadLevel::Lease => false,
    }
}

/// Takes a query in; `None` if it was refused.
fn read(raft: &RaftNode, call: Incoming) -> Option<Admitted> {
    let min_index = match call.action {
        Action::Query { min_index, .. } => min_index,
        _ => 0,
    };
    raft.admit(Read {
        service: call.service,
        payload: call.payload,
        min_index,
        deadline: call.deadline,
        reply: call.reply,
    })
}

/// Refuses what a leader cannot answer whose state is of no use.
fn refuse_out_of_service(raft: &RaftNode, call: Incoming) {
    let again = || Refusal::not_here("this node is about to serve again", None);
    call.reply
        .refuse(raft.out_of_service().unwrap_or_else(again));
}

fn refuse_full(call: Incoming) {
    call.reply.refuse(Error::busy(
        "the disk of the leader is almost full; free space on it",
    ));
}

/// Whether a command would be carried out in vain, or nearly so. Looked at before it is decoded.
fn is_too_late(raft: &RaftNode, call: &Incoming, now: Instant) -> bool {
    let left = call.deadline.saturating_duration_since(now);
    !raft.expects_in_time(left)
}

/// Puts a command into the leader's log, if it can be carried out.
fn propose(raft: &RaftNode, call: Incoming) {
    let item = match call.action {
        Action::OpenSession => Item::OpenSession,
        Action::CloseSession { session } => Item::CloseSession { session },
        Action::Command {
            session,
            sequence,
            responded_to,
            fence,
        } => {
            if let Some(refusal) = fence.and_then(|fence| check_fence(raft, fence)) {
                return call.reply.refuse(refusal);
            }
            if call.key.is_some() && !raft.machine().knows_keys() {
                let text =
                    "idempotency keys can be used once all nodes have a binary that knows them";
                return call.reply.refuse(Refusal::not_here(text, None));
            }
            // What cannot be decoded must not reach the log: it would stop every replica.
            let checked = raft
                .machine()
                .check_command(&call.service, &call.payload, || knows_the_past(raft));
            if let Err(refusal) = checked {
                return call.reply.refuse(refusal);
            }
            let refused = raft
                .machine()
                .refused(&call.service, &call.payload, session, sequence);
            if let Some(refusal) = refused {
                return call.reply.refuse(refusal);
            }
            let service = Bytes::copy_from_slice(call.service.as_bytes());
            Item::Command {
                session,
                sequence,
                responded_to,
                fence,
                key: call.key,
                service,
                payload: call.payload,
            }
        }
        Action::Query { .. } | Action::ReadIndex => {
            unreachable!("what changes nothing was taken out by the caller")
        }
    };
    raft.propose(Proposal {
        item,
        deadline: call.deadline,
        reply: call.reply,
    });
}

/// Whether this leader has carried out what was committed before its term.
fn knows_the_past(raft: &RaftNode) -> bool {
    let view = raft.view();
    view.applied.is_some_and(|(term, _)| term == view.term)
}

/// Spares the log a command that its fencing number would leave without effect.
fn check_fence(raft: &RaftNode, fence: NonZeroU64) -> Option<Refusal> {
    let term = raft.term();
    match fence.get().cmp(&term) {
        Ordering::Equal => None,
        Ordering::Less => Some(stale_fence(Some(fence), term)),
        // This node has led, or been told, less than the caller knows of.
        Ordering::Greater => Some(Refusal::not_here("this node is behind the caller", None)),
    }
}

impl Core {
    /// Counts a call under its method, once it is answered.
    fn metered(&self, mut call: Incoming, now: Instant) -> Incoming {
        if let Some(meter) = self.calls.begin(&call.service, &call.payload, now) {
            describe(meter.span(), &call);
            call.reply = call.reply.metered(meter);
        }
        call
    }

    /// Answers from the state here, if it holds what was acknowledged before `since`.
    fn read_fresh(
        &self,
        raft: &RaftNode,
        call: Incoming,
        since: Instant,
        at_most: Option<Duration>,
    ) {
        if let Some(read) = read(raft, call) {
            let fresh = self.fresh.get().expect("set before raft is");
            fresh.read(Fresh {
                read,
                since,
                at_most,
            });
        }
    }

    /// Passes calls on to the leader, once: two nodes that disagree must not send them in circles.
    fn pass_on(&self, raft: &RaftNode, calls: Vec<Incoming>) {
        let address = leader_elsewhere(raft, self.peers());
        let (again, mut first): (Vec<_>, Vec<_>) =
            calls.into_iter().partition(|call| call.forwarded);
        for call in again {
            let text = "this node is not the leader";
            call.reply.refuse(Refusal::not_here(text, address.clone()));
        }
        if first.is_empty() {
            return;
        }
        match address {
            Some(address) => {
                let links = self.links.get().expect("set before raft starts");
                self.calls.note_forwarded(first.len());
                first.iter_mut().for_each(|call| call.forwarded = true);
                links.forward(&address, first);
            }
            None => {
                for call in first {
                    let text = "the cluster has no leader at this moment";
                    call.reply.refuse(Refusal::not_here(text, None));
                }
            }
        }
    }
}

/// The node as the place where its own clients' calls enter.
pub(super) fn gateway(core: &Arc<Core>) -> Arc<dyn Gateway> {
    core.clone()
}
