//! Reports commands and queries that take long: all that comes after them waits.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::machine::Sighting;
use crate::raft::RaftNode;

/// How often it is looked: a report is late by no more than this.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// What takes longer is reported.
const LONG: Duration = Duration::from_secs(1);

/// An operation under way, as it was first seen.
struct Seen {
    since: Instant,
    text: Option<String>,
}

/// Tells which operations have been running for long, and logs each of them once.
pub(super) async fn watch(raft: RaftNode, slow: &watch::Sender<Vec<String>>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut seen = BTreeMap::new();
    loop {
        ticks.tick().await;
        let now = raft.machine().running().look();
        let long = compare(&mut seen, now, Instant::now());
        slow.send_if_modified(|before| std::mem::replace(before, long.clone()) != long);
    }
}

/// Takes note of what is under way now; says what of it has been for long.
fn compare(
    seen: &mut BTreeMap<(u64, u32), Seen>,
    sightings: Vec<Sighting>,
    now: Instant,
) -> Vec<String> {
    let mut before = std::mem::take(seen);
    let mut long = Vec::new();
    for sighting in sightings {
        let first = Seen {
            since: now,
            text: None,
        };
        let mut one = before.remove(&sighting.id()).unwrap_or(first);
        let running = now.duration_since(one.since);
        if running >= LONG {
            let text = one.text.get_or_insert_with(|| {
                let text = sighting.to_string();
                tracing::warn!("{text} has been running for over {LONG:?}; what follows it waits");
                text
            });
            long.push(format!("{text}, for {} s", running.as_secs()));
        }
        seen.insert(sighting.id(), one);
    }
    for ended in before.into_values() {
        if let Some(text) = ended.text {
            let took = now.duration_since(ended.since);
            tracing::warn!("{text} has ended after {took:.1?}");
        }
    }
    long
}
