//! What this node has decided about the members while it led, for those who watch.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::membership::{Change, Decision};
use crate::member::Removal;
use crate::metrics::Decided;

/// Decisions that are remembered with their text.
const MAX_REMEMBERED: usize = 32;

/// What is decided on, why, and what came of it: of each there are few.
pub(crate) type Labels = [&'static str; 3];

/// The decisions of this process.
#[derive(Debug, Default)]
pub(crate) struct Decisions {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    counts: BTreeMap<Labels, u64>,
    latest: VecDeque<Decided>,
}

impl Decisions {
    /// Takes note of a decision that was carried out, or was not.
    pub(super) fn note(&self, decision: &Decision, is_done: bool) {
        let result = if is_done { "done" } else { "failed" };
        let [change, reason] = labels(&decision.change);
        let at = crate::world::wall_clock().duration_since(SystemTime::UNIX_EPOCH);
        let mut kept = self.kept();
        *kept.counts.entry([change, reason, result]).or_default() += 1;
        if kept.latest.len() == MAX_REMEMBERED {
            kept.latest.pop_front();
        }
        kept.latest.push_back(Decided {
            at: at.map_or(0, |at| at.as_secs()),
            text: format!("{}: {}", decision.change, decision.reason),
            result: result.to_owned(),
        });
    }

    /// How many there were of each.
    pub(crate) fn counts(&self) -> Vec<(Labels, u64)> {
        let kept = self.kept();
        let counts = kept.counts.iter();
        counts.map(|(labels, count)| (*labels, *count)).collect()
    }

    /// The latest, the newest last.
    pub(crate) fn latest(&self) -> Vec<Decided> {
        self.kept().latest.iter().cloned().collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Plain data: a panic elsewhere cannot leave it half-changed.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a change is, and why it suggests itself.
fn labels(change: &Change) -> [&'static str; 2] {
    let why = |removal: &Removal| match removal {
        Removal::Dead => "dead",
        Removal::Superseded => "superseded",
        Removal::Operator => "operator",
    };
    match change {
        Change::FinishJoint { .. } => ["finish_joint", "left_by_earlier_leader"],
        Change::AddLearner { .. } => ["add_learner", "asked"],
        Change::RemoveLearner { removal, .. } => ["remove_learner", why(removal)],
        Change::Promote { .. } => ["promote", "caught_up"],
        Change::ReplaceVoter { removal, .. } => ["replace_voter", why(removal)],
        Change::Update { .. } => ["update", "says_otherwise"],
        Change::RemoveVoter { removal, .. } => ["remove_voter", why(removal)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_the_latest_are_remembered() {
        let decisions = Decisions::default();
        let decision = |node_id| Decision {
            change: Change::RemoveLearner {
                node_id,
                removal: Removal::Dead,
            },
            reason: "silent".to_owned(),
        };
        for node_id in 0..=MAX_REMEMBERED as u64 {
            decisions.note(&decision(node_id), node_id != 0);
        }
        let labels = |result| ["remove_learner", "dead", result];
        let counts = [
            (labels("done"), MAX_REMEMBERED as u64),
            (labels("failed"), 1),
        ];
        assert_eq!(decisions.counts(), counts);
        let latest = decisions.latest();
        assert_eq!(latest.len(), MAX_REMEMBERED);
        assert_eq!(latest[0].text, format!("{}: silent", decision(1).change));
    }
}
