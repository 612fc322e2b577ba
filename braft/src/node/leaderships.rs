//! Who has led of late, as this node saw it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::member::display_id;
use crate::metrics::Leadership;
use crate::raft::RaftNode;

/// Leaderships that are remembered.
const MAX_REMEMBERED: usize = 64;
/// How often it is looked who leads: whoever leads for less is not seen.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The leaderships that this process has seen.
#[derive(Debug, Default)]
pub(super) struct Leaderships {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    latest: VecDeque<Leadership>,
    changes: u64,
}

impl Leaderships {
    /// Follows who leads.
    pub(super) async fn follow(&self, raft: RaftNode) {
        let mut last = (0, None);
        loop {
            let view = raft.view();
            let now = (view.term, view.leader);
            // Without a leader before and after, a term is one more attempt of the same election.
            if now != last && (now.1.is_some() || last.1.is_some()) {
                last = now;
                let since = crate::world::wall_clock().duration_since(SystemTime::UNIX_EPOCH);
                self.note(Leadership {
                    term: now.0,
                    leader: now.1.map(display_id),
                    since: since.map_or(0, |since| since.as_secs()),
                });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn note(&self, leadership: Leadership) {
        let mut seen = self.seen();
        seen.changes += u64::from(leadership.leader.is_some());
        if seen.latest.len() == MAX_REMEMBERED {
            seen.latest.pop_front();
        }
        seen.latest.push_back(leadership);
    }

    /// The latest, the newest last.
    pub(super) fn latest(&self) -> Vec<Leadership> {
        self.seen().latest.iter().cloned().collect()
    }

    /// How often there was another leader or term.
    pub(super) fn changes(&self) -> u64 {
        self.seen().changes
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Plain data: a panic elsewhere cannot leave it half-changed.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
