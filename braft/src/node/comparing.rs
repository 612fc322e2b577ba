//! Replicas compare their states; one that differs from the majority is made anew.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::core::Core;
use crate::entry::Item;
use crate::machine::{Diverged, Replica};
use crate::member::display_id;
use crate::raft::{RaftNode, diverged_parts};

/// How often a leader looks whether a comparison is due.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The pause after something that failed, before the next attempt.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How long reports may differ without a majority before it is an alarm: the rest may be on its way.
const DISPUTE_PATIENCE: Duration = Duration::from_secs(3);

/// On the leader: begins a comparison when the log has grown enough since the last one.
pub(super) async fn begin(raft: RaftNode) {
    let is_due = |replica: &Replica| {
        let every = replica.settings().digest_every;
        let applied = replica.applied().map_or(0, |(_, index)| index);
        let grown = applied.saturating_sub(replica.comparison().mark());
        every > 0 && grown >= every && replica.members().members.nodes.len() > 1
    };
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if raft.is_leader() && raft.machine().glance(is_due) == Some(true) {
            mark(&raft).await;
        }
    }
}

/// Begins a comparison, if there is somebody to compare with.
pub(super) async fn mark(raft: &RaftNode) {
    if raft.view().members.members.nodes.len() < 2 {
        return;
    }
    if let Err(error) = raft.propose_own(Item::DigestMark).await {
        tracing::debug!(%error, "no comparison was begun");
    }
}

/// Has what this replica found at each mark put into the log.
pub(super) async fn report(raft: RaftNode) {
    let mut found = raft.machine().watch_digests();
    while found.changed().await.is_ok() {
        let Some((mark, digests)) = found.borrow_and_update().clone() else {
            continue;
        };
        if raft.quarantine().is_some() {
            // That it differs is known.
            continue;
        }
        let is_over = |replica: &Replica| {
            let comparison = replica.comparison();
            comparison.mark() != mark || comparison.has_reported(raft.id())
        };
        while !matches!(found.has_changed(), Ok(true) | Err(_)) {
            if raft.machine().glance(is_over) == Some(true) {
                break;
            }
            if let Err(error) = raft.report_digests(mark, &digests).await {
                tracing::debug!(%error, mark, "the digests were not reported yet");
            }
            // Until it is applied here too, or the leader that took it is gone.
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}

/// Tells what the comparisons bring to light, and logs it once.
pub(super) async fn watch(raft: RaftNode, told: &watch::Sender<Vec<String>>) {
    let mut verdicts = raft.machine().watch_verdicts();
    let mut disputed = BTreeSet::new();
    loop {
        let changed = tokio::time::timeout(DISPUTE_PATIENCE, verdicts.changed()).await;
        if let Ok(Err(_)) = changed {
            return;
        }
        let Some((mut lines, now)) = raft.machine().glance(findings) else {
            continue;
        };
        // A dispute changes no verdict. It is one if it was there the last time as well.
        if changed.is_err() {
            lines.extend(now.intersection(&disputed).cloned());
            disputed = now;
        } else {
            lines.extend(
                told.borrow()
                    .iter()
                    .filter(|line| now.contains(*line))
                    .cloned(),
            );
        }
        for line in lines.iter().filter(|line| !told.borrow().contains(line)) {
            tracing::error!("{line}");
        }
        told.send_replace(lines);
    }
}

/// Makes this replica anew while it has diverged: from a snapshot of one that has not, and not
/// before another node leads.
pub(super) async fn heal(core: Arc<Core>) {
    let raft = core.raft_started().await.clone();
    let mut quarantine = raft.watch_quarantine();
    loop {
        if quarantine.wait_for(Option::is_some).await.is_err() {
            return;
        }
        raft.stand_for_election(false);
        while raft.quarantine().is_some() {
            if !start_over(&core, &raft).await {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
        raft.stand_for_election(true);
        while let Err(error) = raft.ask_for_mark().await {
            tracing::debug!(%error, "the state that was made anew is not compared yet");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}

async fn start_over(core: &Core, raft: &RaftNode) -> bool {
    let known = raft.machine().glance(|replica| {
        let members = &replica.members().members;
        let applied = replica.applied().map_or(0, |(_, index)| index);
        (replica.comparison().healthy(members), applied)
    });
    let Some((healthy, applied)) = known else {
        return false;
    };
    let view = raft.view();
    if raft.is_leader() {
        let Some(heir) = core.heir(&view, |id| healthy.contains(&id)) else {
            return false;
        };
        if let Err(error) = raft.transfer_leader(heir).await {
            tracing::warn!(%error, "leadership was not handed over");
        }
        return false;
    }
    // Of a state that cannot be frozen, a snapshot holds up the node that writes it: the leader last.
    let (last, first): (Vec<_>, Vec<_>) = healthy
        .into_iter()
        .filter(|id| *id != raft.id())
        .partition(|id| view.leader == Some(*id));
    for source in first.into_iter().chain(last) {
        match raft.start_over_from(source, applied).await {
            Ok(()) => {
                tracing::info!(
                    source = display_id(source),
                    "the state was made anew from a snapshot of another node"
                );
                return true;
            }
            Err(error) => tracing::warn!(
                %error,
                source = display_id(source),
                "the state was not made anew yet"
            ),
        }
    }
    false
}

/// Which replicas have diverged, and where no majority agrees.
fn findings(replica: &Replica) -> (Vec<String>, BTreeSet<String>) {
    let members = &replica.members().members;
    let comparison = replica.comparison();
    let range = |how: &Diverged| format!("log index {} to {}", how.from, how.to);
    let diverged = comparison.all_diverged().map(|(id, how)| {
        let info = members.nodes.get(&id);
        format!(
            "node {} ({}) has diverged: its state of {} differs from that of the majority ({})",
            display_id(id),
            info.map_or("", |info| info.name.as_str()),
            diverged_parts(how),
            range(how)
        )
    });
    let disputed = comparison.disputed(members);
    let disputed = disputed.iter().map(|how| {
        format!(
            "the states of {} differ from node to node and no majority agrees ({}): nothing is made \
             anew; find out which node is right, and empty the data directories of the others",
            diverged_parts(how),
            range(how)
        )
    });
    (diverged.collect(), disputed.collect())
}
