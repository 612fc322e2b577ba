//! What the clients saw: kept for the verdict, and written to files.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use braft::EventPosition;
use serde::Serialize;

use crate::service::{Value, Written};

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Call {
    Swap { key: u32, id: u64 },
    Replace { key: u32, expected: u64, id: u64 },
    Get { key: u32, level: Level },
}

/// The read levels that the clients use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Level {
    Linearizable,
    Lease,
    Follower,
    Session,
}

/// What was learned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Fate {
    /// What was there before, or is there.
    Answered(Value),
    /// A write may or may not have happened.
    Unknown(String),
    /// A write has surely not happened, or a read failed.
    Refused(String),
}

/// One call of a client.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) client: u64,
    pub(crate) call: Call,
    /// Since the start.
    pub(crate) began: Duration,
    pub(crate) ended: Duration,
    pub(crate) fate: Fate,
}

impl Call {
    pub(crate) fn key(self) -> u32 {
        match self {
            Call::Swap { key, .. } | Call::Replace { key, .. } | Call::Get { key, .. } => key,
        }
    }

    /// The id of a write.
    pub(crate) fn id(self) -> Option<u64> {
        match self {
            Call::Swap { id, .. } | Call::Replace { id, .. } => Some(id),
            Call::Get { .. } => None,
        }
    }
}

/// What a subscriber saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) events: Vec<(EventPosition, Written)>,
    /// Whether it was told that it has missed some.
    pub(crate) is_gapped: bool,
}

/// What is being recorded, by all clients.
pub(crate) struct Recording {
    pub(crate) start: Instant,
    pub(crate) stop: AtomicBool,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) failed: AtomicU64,
    entries: Mutex<Vec<Entry>>,
}

impl Recording {
    pub(crate) fn new() -> Self {
        Recording {
            start: Instant::now(),
            stop: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            entries: Mutex::default(),
        }
    }

    pub(crate) fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, entry: Entry) {
        let count = match (&entry.fate, entry.call) {
            (Fate::Answered(_), Call::Get { .. }) => &self.reads,
            (Fate::Answered(_), _) => &self.acknowledged,
            _ => &self.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.entries().push(entry);
    }

    /// Writes one file for each client, a call on each line.
    pub(crate) fn save(&self, directory: &Path) -> io::Result<()> {
        let entries = self.entries();
        let clients: std::collections::BTreeSet<u64> =
            entries.iter().map(|entry| entry.client).collect();
        for client in clients {
            let file = File::create(directory.join(format!("client-{client}.jsonl")))?;
            let mut file = BufWriter::new(file);
            for entry in entries.iter().filter(|entry| entry.client == client) {
                serde_json::to_writer(&mut file, entry)?;
                file.write_all(b"\n")?;
            }
            file.flush()?;
        }
        Ok(())
    }
}
