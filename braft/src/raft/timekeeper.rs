//! Brings the log clock and the wall clocks of the members together, on the leader.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;

use tokio::time::Instant;

use super::Raft;
use super::network::{Agreed, Peers, agreed};
use super::state_machine::StateMachine;

/// How long what was agreed on is gone on from before the clocks are compared again.
const COMPARE_EVERY: Duration = Duration::from_millis(100);
/// A clock that is off by more is complained about.
const TOLERANCE: Duration = Duration::from_secs(2);

/// Stamps for a leader. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Timekeeper(Arc<Shared>);

struct Shared {
    raft: Raft,
    machine: StateMachine,
    peers: Arc<Peers>,
    last: Mutex<Last>,
}

/// What came of the last comparison.
#[derive(Default)]
struct Last {
    at: Option<Instant>,
    agreed: Option<Agreed>,
    /// What is wrong with the clocks; said once.
    complaint: Option<String>,
}

impl Timekeeper {
    pub(super) fn new(raft: Raft, machine: StateMachine, peers: Arc<Peers>) -> Self {
        Timekeeper(Arc::new(Shared {
            raft,
            machine,
            peers,
            last: Mutex::default(),
        }))
    }

    /// The next stamp.
    pub(super) fn stamp(&self) -> Duration {
        // A long command holds the state: proposing must not keep a thread waiting for it.
        let applied = self.0.machine.machine().clock();
        self.0.machine.clock().stamp(applied, self.agreed())
    }

    /// How long it takes until a stamp reaches `due`.
    pub(super) fn until(&self, due: Duration) -> Duration {
        let applied = self.0.machine.machine().clock();
        self.0.machine.clock().until(due, applied, self.agreed())
    }

    /// What is wrong with the clocks of the members, if anything. On the leader.
    pub(crate) fn complaint(&self) -> Option<String> {
        self.agreed();
        let last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.complaint.clone()
    }

    /// What the wall clocks of a majority agree on now.
    fn agreed(&self) -> Option<Agreed> {
        let now = Instant::now();
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        let age = last.at.map(|at| now.saturating_duration_since(at));
        match age {
            Some(age) if age < COMPARE_EVERY => last.agreed.map(|agreed| agreed.later(age)),
            _ => {
                let (agreed, complaint) = self.compare(now);
                if complaint.is_some() && last.complaint.is_none() {
                    tracing::warn!("{}", complaint.as_deref().unwrap_or_default());
                }
                *last = Last {
                    at: Some(now),
                    agreed,
                    complaint,
                };
                agreed
            }
        }
    }

    /// This node's own clock, where there is nothing else to begin with.
    fn own(&self) -> Option<Agreed> {
        let is_new = self.0.machine.clock().steady().is_none();
        let own = self.0.peers.walls().own();
        is_new.then_some(Agreed { from: own, to: own })
    }

    fn compare(&self, now: Instant) -> (Option<Agreed>, Option<String>) {
        let metrics = self.0.raft.metrics();
        let voters: BTreeSet<u64> = {
            let metrics = metrics.borrow_watched();
            metrics.membership_config.membership().voter_ids().collect()
        };
        let me = self.0.peers.me().node_id;
        let shown = self.0.peers.walls().of(&voters, me, now);
        let agreed = agreed(&shown, voters.len()).or_else(|| self.own());
        let complaint = agreed.and_then(|agreed| {
            let odd = shown.iter().find_map(|(id, time)| {
                let name = self.0.peers.about(*id).map(|(info, _)| info.name);
                let name = name.unwrap_or_else(|| crate::member::display_id(*id));
                let difference = off(*time, agreed.nearest(*time))?;
                Some(format!(
                    "the wall clock of {name} is {difference} those of the other voters; log time \
                     does not follow it; set the clock"
                ))
            });
            odd.or_else(|| {
                let steady = self.0.machine.clock().steady()?;
                let difference = off(steady, agreed.nearest(steady))?;
                Some(format!(
                    "log time is {difference} the wall clocks of the voters; it follows them by an \
                     eighth of what elapses, so timers and sessions last that much longer or \
                     shorter until then"
                ))
            })
        });
        (agreed, complaint)
    }
}

/// By how much one time is away from another, if that is a lot.
fn off(time: Duration, from: Duration) -> Option<String> {
    let difference = time.abs_diff(from);
    let where_to = if time > from { "ahead of" } else { "behind" };
    let seconds = difference.as_secs();
    (difference > TOLERANCE).then(|| format!("{seconds} s {where_to}"))
}
