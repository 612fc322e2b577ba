//! Where calls enter a node: to the leader's log, to its readers, or on to the leader.

use std::cmp::Ordering;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::core::Core;
use crate::call::ReadLevel;
use crate::entry::Item;
use crate::error::Error;
use crate::machine::stale_fence;
use crate::raft::{Proposal, RaftNode, Read};
use crate::request::{Action, Gateway, Incoming, Refusal};

/// The longest a node lets a read wait until it has seen what the client has seen.
const SESSION_WAIT: Duration = Duration::from_millis(500);

impl Gateway for Core {
    fn submit(&self, calls: Vec<Incoming>) {
        let Some(raft) = self.raft() else {
            for call in calls {
                let text = "this node is in no cluster yet";
                call.reply.refuse(Refusal::not_here(text, None));
            }
            return;
        };
        let leads = raft.is_leader();
        let full = *self.disk_low.borrow();
        let mut local = Vec::new();
        let mut elsewhere = Vec::new();
        for call in calls {
            match call.action {
                Action::Query {
                    level: ReadLevel::Local,
                    min_index,
                } => {
                    local.push(read(call, min_index));
                }
                // One that has to wait must not hold up the others.
                Action::Query {
                    level: ReadLevel::Session,
                    min_index,
                } => {
                    let mut read = read(call, min_index);
                    // A node that is cut off catches up much later: another one may be asked.
                    read.deadline = read.deadline.min(Instant::now() + SESSION_WAIT);
                    raft.read_local(vec![read]);
                }
                _ if !leads => elsewhere.push(call),
                Action::Query { min_index, .. } => raft.read(read(call, min_index)),
                _ if full => refuse_full(call),
                _ => propose(raft, call),
            }
        }
        if !local.is_empty() {
            raft.read_local(local);
        }
        if !elsewhere.is_empty() {
            self.pass_on(raft, elsewhere);
        }
    }

    fn cluster_id(&self) -> Option<u128> {
        self.peers().cluster_id()
    }
}

fn read(call: Incoming, min_index: u64) -> Read {
    Read {
        service: call.service,
        payload: call.payload,
        min_index,
        deadline: call.deadline,
        reply: call.reply,
    }
}

fn refuse_full(call: Incoming) {
    call.reply.refuse(Error::busy(
        "the disk of the leader is almost full; free space on it",
    ));
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
            // What cannot be decoded must not reach the log: it would stop every replica.
            let checked = raft
                .machine()
                .check_command(&call.service, &call.payload, || knows_the_past(raft));
            if let Err(refusal) = checked {
                return call.reply.refuse(refusal);
            }
            let service = Bytes::copy_from_slice(call.service.as_bytes());
            Item::Command {
                session,
                sequence,
                responded_to,
                fence,
                service,
                payload: call.payload,
            }
        }
        Action::Query { .. } => unreachable!("queries were taken out by the caller"),
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
    /// Passes calls on to the leader, once: two nodes that disagree must not send them in circles.
    fn pass_on(&self, raft: &RaftNode, calls: Vec<Incoming>) {
        let view = raft.view();
        let leader = view
            .leader_info()
            .filter(|(id, _)| *id != self.peers().me().node_id);
        let address = leader.map(|(id, info)| {
            self.peers()
                .address_of(id)
                .unwrap_or_else(|| info.address.clone())
        });
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
