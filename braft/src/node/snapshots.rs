//! When a node writes a snapshot: by how far its log has grown, and by whom it would hold up.
//!
//! A state that can be frozen is written while commands go on, so every node writes it when its log
//! has grown enough. Any other holds up the node that writes it. Then followers do it in turn, which
//! nobody waits for; their logs go on meanwhile. A leader waits longer: mostly it has lost its place
//! to another by then, or its log is long. A node on its own has nobody to leave it to.

use std::time::Duration;

use tokio::time::Instant;

use crate::raft::{RaftNode, RaftView, Role};

/// How many times as far as a follower's a leader's log grows before it holds up commands for a
/// snapshot: the log stays bounded whatever the others do.
pub(super) const LEADER_PATIENCE: u64 = 4;

/// How far the log grows before a snapshot is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Growth {
    pub(super) entries: u64,
    /// Or the size of the last snapshot if that is more: writing the state again then costs no more
    /// than the log did.
    pub(super) bytes: u64,
}

/// Whom a snapshot holds up, and so when it is this node's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Nobody, or there is nobody to leave it to.
    Now,
    /// This follower and no other, if each counts from another place.
    Staggered { rank: u64, members: u64 },
    /// All commands of the cluster.
    Last,
}

impl Growth {
    /// The growth at which it is this node's turn.
    fn at(self, turn: Turn) -> Growth {
        let scale = |limit: u64| match turn {
            Turn::Now => limit,
            Turn::Staggered { rank, members } => {
                let share = u128::from(limit) * u128::from(rank) / u128::from(members.max(1));
                limit.saturating_add(u64::try_from(share).unwrap_or(u64::MAX))
            }
            Turn::Last => limit.saturating_mul(LEADER_PATIENCE),
        };
        Growth {
            entries: scale(self.entries),
            bytes: scale(self.bytes),
        }
    }

    fn exceeds(self, limit: Growth) -> bool {
        self.entries > limit.entries || self.bytes > limit.bytes
    }
}

/// Asks for snapshots when they are due.
pub(super) struct Snapshots {
    limit: Growth,
    /// Silence after which a voter is not counted on.
    patience: Duration,
    /// The newest snapshot seen.
    newest: Option<(u64, u64)>,
    /// The log's last index and what it had written when the newest snapshot was begun.
    begun_at: Growth,
    /// Whether one that was asked for here is awaited.
    awaited: bool,
    /// Whether one was ever asked for here.
    began: bool,
}

impl Snapshots {
    pub(super) fn new(limit: Growth, patience: Duration) -> Self {
        Snapshots {
            limit,
            patience,
            newest: None,
            begun_at: Growth {
                entries: 0,
                bytes: 0,
            },
            awaited: false,
            began: false,
        }
    }

    /// Whether a snapshot is due; if so it counts as begun. While the disk is low one is due as soon
    /// as it frees more than it costs, whomever it holds up.
    pub(super) fn is_due(&mut self, raft: &RaftNode, disk_is_low: bool) -> bool {
        let view = raft.view();
        let now = Growth {
            entries: view.last_log_index.unwrap_or(0),
            bytes: raft.wal().stats().bytes,
        };
        if view.snapshot != self.newest {
            self.newest = view.snapshot;
            // One that was asked for here counts from then: what was written meanwhile is not in it.
            if !std::mem::take(&mut self.awaited) {
                let entries = view.snapshot.map_or(0, |(_, index)| index);
                self.begun_at = Growth { entries, ..now };
            }
        }
        let grown = Growth {
            entries: now.entries.saturating_sub(self.begun_at.entries),
            bytes: now.bytes.saturating_sub(self.begun_at.bytes),
        };
        let is_cheap = raft.machine().freezes_cheaply();
        let bytes = if disk_is_low { 0 } else { self.limit.bytes };
        let limit = Growth {
            // Of a state that can be frozen, raft counts them itself.
            entries: if is_cheap {
                u64::MAX
            } else {
                self.limit.entries
            },
            bytes: bytes.max(raft.snapshot_bytes()),
        };
        let waits_for_nobody = disk_is_low || is_cheap;
        let turn = turn(
            waits_for_nobody,
            self.began,
            raft.id(),
            &view,
            self.patience,
        );
        if !grown.exceeds(limit.at(turn)) {
            return false;
        }
        self.begun_at = now;
        (self.awaited, self.began) = (true, true);
        true
    }
}

fn turn(waits_for_nobody: bool, began: bool, me: u64, view: &RaftView, patience: Duration) -> Turn {
    let members = &view.members.members;
    if waits_for_nobody || members.nodes.len() < 2 {
        return Turn::Now;
    }
    if view.role == Role::Leader {
        let is_in_touch = |at: Option<Instant>| at.is_some_and(|at| at.elapsed() < patience);
        let mut others = members.voters().into_iter().filter(|id| *id != me);
        let is_heard = others.any(|id| is_in_touch(view.contact.get(&id).copied().flatten()));
        return if is_heard { Turn::Last } else { Turn::Now };
    }
    if began {
        // From the first one on, each keeps the distance.
        return Turn::Now;
    }
    Turn::Staggered {
        rank: members.nodes.range(..me).count() as u64,
        members: members.nodes.len() as u64,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::member::{Members, NodeInfo, StoredMembers};

    const PATIENCE: Duration = Duration::from_secs(60);

    /// As a node sees it, members of which this leader hears some.
    pub(in super::super) fn view(role: Role, ids: &[u64], heard: &[u64]) -> RaftView {
        let info = NodeInfo {
            name: String::new(),
            address: String::new(),
            http_address: String::new(),
            name_is_chosen: false,
        };
        RaftView {
            role,
            term: 1,
            leader: None,
            last_log_index: None,
            committed: None,
            applied: None,
            snapshot: None,
            purged: None,
            members: StoredMembers {
                log_id: None,
                members: Members {
                    configs: vec![ids.iter().copied().collect()],
                    nodes: ids.iter().map(|id| (*id, info.clone())).collect(),
                },
            },
            matched: None,
            contact: heard
                .iter()
                .map(|id| (*id, Some(Instant::now())))
                .collect::<BTreeMap<_, _>>(),
            quorum_contact: None,
            stopped: None,
        }
    }

    #[test]
    fn a_state_that_can_be_frozen_waits_for_nobody() {
        let view = view(Role::Leader, &[1, 2, 3], &[2, 3]);
        assert_eq!(turn(true, false, 1, &view, PATIENCE), Turn::Now);
    }

    #[test]
    fn a_leader_leaves_it_to_followers_that_it_hears() {
        let heard = view(Role::Leader, &[1, 2, 3], &[3]);
        assert_eq!(turn(false, true, 1, &heard, PATIENCE), Turn::Last);
        let unheard = view(Role::Leader, &[1, 2, 3], &[1]);
        assert_eq!(turn(false, true, 1, &unheard, PATIENCE), Turn::Now);
        assert_eq!(turn(false, true, 1, &heard, Duration::ZERO), Turn::Now);
    }

    #[test]
    fn a_node_on_its_own_has_nobody_to_leave_it_to() {
        let view = view(Role::Leader, &[1], &[]);
        assert_eq!(turn(false, false, 1, &view, PATIENCE), Turn::Now);
    }

    #[test]
    fn no_two_followers_begin_at_the_same_growth() {
        let limit = Growth {
            entries: 300,
            bytes: u64::MAX / 2,
        };
        let view = view(Role::Follower, &[1, 2, 3], &[]);
        let at = |me| limit.at(turn(false, false, me, &view, PATIENCE));
        let all = [1, 2, 3].map(|me| at(me).entries);
        assert_eq!(all, [300, 400, 500]);
        assert_eq!(turn(false, true, 3, &view, PATIENCE), Turn::Now);
    }

    #[test]
    fn a_leaders_log_stays_bounded() {
        let limit = Growth {
            entries: 10,
            bytes: 100,
        };
        let last = limit.at(Turn::Last);
        let grown = |entries, bytes| Growth { entries, bytes };
        assert!(!grown(40, 400).exceeds(last));
        assert!(grown(41, 0).exceeds(last) && grown(0, 401).exceeds(last));
    }
}
