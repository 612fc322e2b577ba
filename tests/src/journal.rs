//! A service and a task that show whether writes of a leader of the past are refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use braft::{Config, Context, ErrorKind, LeaderToken, Node, raft_service};
use serde::{Deserialize, Serialize};

/// Longer than any lease, and than anything here waits for: only a stopped process takes so long.
pub const PAUSE: Duration = Duration::from_secs(2);
const NOTE_DEADLINE: Duration = Duration::from_millis(500);
const NOTE_EVERY: Duration = Duration::from_millis(5);
/// Refusals after which a writer of the past gives up.
const ENOUGH: u64 = 10;

/// What leaders have noted.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Journal {
    notes: Vec<Note>,
}

/// One note of a leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The term of the entry that holds it.
    pub written_in: u64,
    /// The term its writer led.
    pub led: u64,
}

#[raft_service]
impl Journal {
    /// Notes that the writer leads this term.
    pub fn note(&mut self, context: &mut Context, led: u64) {
        let written_in = context.log_position().term;
        self.notes.push(Note { written_in, led });
    }

    /// All notes.
    pub fn notes(&self) -> Vec<Note> {
        self.notes.clone()
    }
}

#[derive(Default)]
struct Seen {
    refused: AtomicU64,
    paused: AtomicU64,
    valid_after_pause: AtomicU64,
}

/// Has the leader write notes under its number, and go on long after it has lost the lead. How that
/// went stands in the node's business data.
pub fn stubborn(config: Config) -> Config {
    let seen = Arc::new(Seen::default());
    let shown = seen.clone();
    config
        .service::<Journal>()
        .biz_data(move || {
            serde_json::json!({
                "refused": shown.refused.load(Ordering::Relaxed),
                "paused": shown.paused.load(Ordering::Relaxed),
                "validAfterPause": shown.valid_after_pause.load(Ordering::Relaxed),
            })
        })
        .leader_task(move |node, token| {
            // Out of reach of whoever ends the task.
            tokio::spawn(write(node, token, seen.clone()));
            std::future::ready(())
        })
}

async fn write(node: Node, token: LeaderToken, seen: Arc<Seen>) {
    let journal = node.client::<Journal>();
    let mut refused = 0;
    let mut last = Instant::now();
    while refused < ENOUGH {
        if last.elapsed() > PAUSE {
            seen.paused.fetch_add(1, Ordering::Relaxed);
            let valid = u64::from(token.is_valid());
            seen.valid_after_pause.fetch_add(valid, Ordering::Relaxed);
        }
        last = Instant::now();
        // By the number alone: the token itself would not even let it be sent.
        let note = journal.note(token.term()).fence(token.term());
        if let Err(error) = note.deadline(NOTE_DEADLINE).await
            && error.kind() == ErrorKind::Fenced
        {
            refused += 1;
            seen.refused.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(NOTE_EVERY).await;
    }
}
