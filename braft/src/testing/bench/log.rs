//! The write-ahead log, without a node around it.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;

use crate::storage::fs::DiskFs;
use crate::storage::wal::{Done, LogEntry, LogId, Wal, WalOptions};

const TERM: u64 = 1;
const KIND: u8 = 1;
/// Bytes of entries after which those before are purged, so that the disk does not fill.
const PURGE_BYTES: usize = 256 << 20;

/// A log that is appended to.
pub struct Log {
    wal: Wal,
    next: u64,
    since_purge: usize,
    /// Whether what is old is purged.
    purges: bool,
    told: Sender<std::io::Result<()>>,
    done: Receiver<std::io::Result<()>>,
}

impl Log {
    /// The log of a directory, with the settings of a node.
    pub fn open(directory: &Path) -> Self {
        let wal = Wal::open(Arc::new(DiskFs), directory, WalOptions::default());
        let wal = wal.expect("the directory is empty or has a log");
        let next = wal.state().last.map_or(1, |last| last.index + 1);
        let (told, done) = channel();
        Log {
            wal,
            next,
            since_purge: 0,
            purges: true,
            told,
            done,
        }
    }

    /// Keeps everything from now on.
    pub fn keep_all(&mut self) {
        self.purges = false;
    }

    /// The index of the last entry; 0 if there is none.
    pub fn last_index(&self) -> u64 {
        self.next - 1
    }

    /// Appends entries with these payloads, in one batch, and waits until they are durable.
    pub fn append(&mut self, payloads: &[Bytes]) {
        let entries = (self.next..)
            .zip(payloads)
            .map(|(index, payload)| LogEntry {
                id: LogId { term: TERM, index },
                kind: KIND,
                payload: payload.clone(),
            });
        let entries: Vec<_> = entries.collect();
        let told = self.told.clone();
        let done: Done = Box::new(move |result| drop(told.send(result)));
        // A node lets the task that appends write a lone entry, as here.
        let appended = match payloads {
            [_] => self.wal.append_here(entries, done),
            _ => self.wal.append(entries, done),
        };
        appended.expect("the disk has room");
        self.wait();
        self.next += payloads.len() as u64;
        self.since_purge += payloads.iter().map(Bytes::len).sum::<usize>();
        if self.purges && self.since_purge >= PURGE_BYTES {
            self.since_purge = 0;
            self.purge();
        }
    }

    fn purge(&self) {
        let upto = LogId {
            term: TERM,
            index: self.next - 1,
        };
        let told = self.told.clone();
        let purged = self
            .wal
            .purge(upto, Box::new(move |result| drop(told.send(result))));
        purged.expect("the entries are there");
        self.wait();
    }

    fn wait(&self) {
        let result = self.done.recv().expect("the log answers");
        result.expect("the disk is sound");
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.wal.close();
    }
}
