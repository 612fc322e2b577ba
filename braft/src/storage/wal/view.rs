//! The log as its users see it: changed the moment an operation is accepted, ahead of the disk.
//!
//! Holds the most recent entries themselves and, for all others, only where terms begin.

use std::collections::VecDeque;
use std::io;

use super::types::LogEntry;
use super::types::LogId;
use super::types::WalState;

/// The users' view of the log.
#[derive(Default)]
pub(super) struct View {
    state: WalState,
    /// A run of entries that ends with the last one.
    cache: VecDeque<LogEntry>,
    cache_bytes: u64,
    /// Index of each entry that opens a term, with that term: a few even in a long log.
    terms: VecDeque<(u64, u64)>,
    /// Counts truncations, so that a reader that works in steps notices one between them.
    truncations: u64,
}

/// Memory an entry costs beside its payload.
const ENTRY_OVERHEAD: u64 = size_of::<LogEntry>() as u64;

fn cost(entry: &LogEntry) -> u64 {
    entry.payload.len() as u64 + ENTRY_OVERHEAD
}

impl View {
    /// A log of which nothing but its ends is known yet.
    pub(super) fn starting(state: WalState) -> Self {
        Self {
            state,
            ..Self::default()
        }
    }

    pub(super) fn state(&self) -> WalState {
        self.state
    }

    pub(super) fn cache_bytes(&self) -> u64 {
        self.cache_bytes
    }

    pub(super) fn truncations(&self) -> u64 {
        self.truncations
    }

    /// The index the next entry must have; `None` in a log that never held one.
    pub(super) fn next_index(&self) -> Option<u64> {
        self.state.last.map(|last| last.index + 1)
    }

    /// The first index that is not purged.
    pub(super) fn first_index(&self) -> u64 {
        self.state.last_purged.map_or(0, |purged| purged.index + 1)
    }

    /// Index of the first entry held in memory. All after it are there too, and only what lies
    /// before it may be looked up on disk: the disk may not know yet of a truncation.
    pub(super) fn cache_first(&self) -> Option<u64> {
        match self.cache.front() {
            Some(entry) => Some(entry.id.index),
            None => self.next_index(),
        }
    }

    /// Refuses entries that would leave a hole or change what is there.
    pub(super) fn check_append(&self, entries: &[LogEntry]) -> io::Result<()> {
        let mut next = self.next_index();
        let mut term = self.state.last.map_or(0, |last| last.term);
        for entry in entries {
            if next.is_some_and(|next| next != entry.id.index) {
                return Err(invalid(format!(
                    "entry {} cannot be appended: the next index is {}",
                    entry.id,
                    next.unwrap_or(0)
                )));
            }
            if entry.id.term < term {
                return Err(invalid(format!(
                    "entry {} cannot be appended behind term {term}",
                    entry.id
                )));
            }
            term = entry.id.term;
            next = Some(entry.id.index + 1);
        }
        Ok(())
    }

    /// Takes an entry that was checked.
    pub(super) fn append(&mut self, entry: LogEntry) {
        if self
            .terms
            .back()
            .is_none_or(|(_, term)| *term != entry.id.term)
        {
            self.terms.push_back((entry.id.index, entry.id.term));
        }
        self.state.last = Some(entry.id);
        self.cache_bytes += cost(&entry);
        self.cache.push_back(entry);
    }

    /// What the log's last entry would be after a truncation; refuses to cut into what was
    /// purged.
    pub(super) fn truncated_last(&self, last: Option<u64>) -> io::Result<Option<LogId>> {
        let WalState {
            last_purged: purged,
            last: current,
        } = self.state;
        match (last, purged) {
            (None, _) => Ok(purged),
            (Some(index), Some(purged)) if index < purged.index => Err(invalid(format!(
                "the log cannot be truncated after {index}: it is purged up to {purged}"
            ))),
            (Some(index), _) if current.is_none_or(|last| index >= last.index) => Ok(current),
            (Some(index), _) => Ok(self.term_at(index).map(|term| LogId { term, index })),
        }
    }

    /// Drops all entries after `last`, as told by [`Self::truncated_last`].
    pub(super) fn truncate(&mut self, last: Option<LogId>) {
        let keep = last.map_or(0, |last| last.index + 1);
        while self
            .cache
            .back()
            .is_some_and(|entry| entry.id.index >= keep)
        {
            self.cache_bytes -= self.cache.pop_back().map_or(0, |entry| cost(&entry));
        }
        while self.terms.back().is_some_and(|(first, _)| *first >= keep) {
            self.terms.pop_back();
        }
        self.state.last = last;
        self.truncations += 1;
    }

    /// Drops all entries up to `upto`, which may lie behind the last one.
    pub(super) fn purge(&mut self, upto: LogId) {
        while self.pop_oldest(upto.index) {}
        self.state.last_purged = Some(upto);
        if self.state.last.is_none_or(|last| last.index <= upto.index) {
            self.state.last = Some(upto);
            self.terms.clear();
            self.truncations += 1;
        }
        let first = upto.index + 1;
        while self.terms.len() > 1 && self.terms[1].0 <= first {
            self.terms.pop_front();
        }
    }

    /// Forgets the oldest entries beyond `limit` bytes, but none after `durable`.
    pub(super) fn evict(&mut self, limit: u64, durable: u64) {
        while self.cache_bytes > limit && self.pop_oldest(durable) {}
    }

    /// Forgets the oldest entry in memory if it is at most `upto`.
    fn pop_oldest(&mut self, upto: u64) -> bool {
        if self.cache.front().is_none_or(|entry| entry.id.index > upto) {
            return false;
        }
        self.cache_bytes -= self.cache.pop_front().map_or(0, |entry| cost(&entry));
        true
    }

    /// The term of an entry, or of the last purged one.
    pub(super) fn term_at(&self, index: u64) -> Option<u64> {
        if let Some(purged) = self
            .state
            .last_purged
            .filter(|purged| purged.index >= index)
        {
            return (purged.index == index).then_some(purged.term);
        }
        if self.state.last.is_none_or(|last| index > last.index) {
            return None;
        }
        let after = self.terms.partition_point(|(first, _)| *first <= index);
        after.checked_sub(1).map(|at| self.terms[at].1)
    }

    /// Whether there is an entry of this index.
    pub(super) fn contains(&self, index: u64) -> bool {
        index >= self.first_index()
            && self.state.last.is_some_and(|last| index <= last.index)
            && self.term_at(index).is_some()
    }

    /// Entries from memory, from `from` on: empty if that one is not in memory.
    pub(super) fn cached(&self, from: u64) -> impl Iterator<Item = &LogEntry> {
        let skip = match self.cache_first() {
            Some(first) if from >= first => (from - first) as usize,
            _ => self.cache.len(),
        };
        self.cache.iter().skip(skip)
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
