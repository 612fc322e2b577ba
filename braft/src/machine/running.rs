//! What a replica is at, for those who look on while it takes long.
//!
//! Nothing here knows a time: who looks twice and sees the same piece of work knows how long.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::codec;
use crate::context::LogPosition;
use crate::entry::{EntryReader, Item};

/// A query: the service it asks, and its MessagePack form.
pub(crate) type Query = (Arc<str>, Bytes);

/// The entries and queries under way: no more than there are threads.
#[derive(Debug, Default)]
pub(crate) struct Running {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    works: BTreeMap<u64, Arc<Work>>,
}

/// Several operations that are carried out one after the other.
#[derive(Debug)]
struct Work {
    what: What,
    /// Which of them is being carried out.
    at: AtomicU32,
    /// The ordinal of the first command: timers come before.
    first: AtomicU32,
}

#[derive(Debug)]
enum What {
    /// The commands of a log entry; its term, index and bytes.
    Entry(u64, u64, Bytes),
    /// The timer of a service.
    Timer(LogPosition, String),
    Queries(Arc<[Query]>),
}

/// A piece of work that ends when this is dropped.
#[derive(Debug)]
pub(super) struct Underway<'a> {
    running: &'a Running,
    number: u64,
    work: Arc<Work>,
}

/// One operation that was seen under way.
#[derive(Clone, Debug)]
pub(crate) struct Sighting {
    number: u64,
    at: u32,
    work: Arc<Work>,
}

impl Running {
    fn table(&self) -> MutexGuard<'_, Table> {
        // Plain data: a panic elsewhere cannot leave it half-changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, what: What) -> Underway<'_> {
        let work = Arc::new(Work {
            what,
            at: AtomicU32::new(0),
            first: AtomicU32::new(0),
        });
        let mut table = self.table();
        let number = table.next;
        table.next += 1;
        table.works.insert(number, work.clone());
        Underway {
            running: self,
            number,
            work,
        }
    }

    pub(super) fn entry(&self, term: u64, index: u64, bytes: Bytes) -> Underway<'_> {
        self.begin(What::Entry(term, index, bytes))
    }

    fn timer(&self, position: LogPosition, name: String) -> Underway<'_> {
        self.begin(What::Timer(position, name))
    }

    pub(super) fn queries(&self, queries: Arc<[Query]>) -> Underway<'_> {
        self.begin(What::Queries(queries))
    }

    /// Everything that is under way at this moment.
    pub(crate) fn look(&self) -> Vec<Sighting> {
        let table = self.table();
        let sightings = table.works.iter().map(|(number, work)| Sighting {
            number: *number,
            at: work.at.load(Ordering::Relaxed),
            work: work.clone(),
        });
        sightings.collect()
    }
}

impl Underway<'_> {
    /// Goes on to another of its operations.
    pub(super) fn at(&self, ordinal: u32) {
        self.work.at.store(ordinal, Ordering::Relaxed);
    }

    /// Its commands begin with this ordinal.
    pub(super) fn begin_at(&self, ordinal: u32) {
        self.work.first.store(ordinal, Ordering::Relaxed);
        self.at(ordinal);
    }

    /// A timer that runs before the commands; ends when this is dropped.
    pub(super) fn timer(&self, position: LogPosition, name: String) -> Underway<'_> {
        self.running.timer(position, name)
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.running.table().works.remove(&self.number);
    }
}

impl Sighting {
    /// The same for all sightings of one operation, and for no other.
    pub(crate) fn id(&self) -> (u64, u32) {
        (self.number, self.at)
    }
}

/// "command Counter.add at log id 2.17.3" or "query Counter.get".
impl fmt::Display for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.work.what {
            What::Entry(term, index, bytes) => {
                let position = LogPosition {
                    term: *term,
                    index: *index,
                    ordinal: self.at,
                };
                let first = self.work.first.load(Ordering::Relaxed);
                let name = command_name(bytes, self.at.saturating_sub(first));
                let name = name.unwrap_or_else(|| "unknown".to_owned());
                write!(f, "command {name} at log id {position}")
            }
            What::Timer(position, name) => write!(f, "timer {name} at log id {position}"),
            What::Queries(queries) => {
                let query = queries.get(self.at as usize);
                let name = query.and_then(|(service, query)| operation_name(service, query));
                let name = name.unwrap_or_else(|| "unknown".to_owned());
                write!(f, "query {name}")
            }
        }
    }
}

fn command_name(entry: &Bytes, ordinal: u32) -> Option<String> {
    let mut reader = EntryReader::new(entry.clone()).ok()?;
    for _ in 0..ordinal {
        reader.next_item().ok()??;
    }
    match reader.next_item().ok()?? {
        Item::Command {
            service, payload, ..
        } => operation_name(&String::from_utf8_lossy(&service), &payload),
        Item::OpenSession
        | Item::CloseSession { .. }
        | Item::SeedSettings { .. }
        | Item::NoteRemoval { .. }
        | Item::ActivateVersions { .. }
        | Item::Tick
        | Item::DigestMark
        | Item::DigestReport { .. }
        | Item::ClearPanics { .. }
        | Item::SkipPanicked { .. }
        | Item::ChangeSettings { .. } => None,
    }
}

fn operation_name(service: &str, payload: &[u8]) -> Option<String> {
    let operation = codec::variant_name(payload)?;
    Some(format!("{service}.{operation}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::entry::EntryWriter;

    fn texts(running: &Running) -> Vec<String> {
        running.look().iter().map(ToString::to_string).collect()
    }

    /// `{"<name>": {}}`.
    fn payload(name: &str) -> Bytes {
        let call: BTreeMap<&str, BTreeMap<(), ()>> = [(name, BTreeMap::new())].into();
        codec::encode(&call).expect("a map has a form").into()
    }

    #[test]
    fn the_command_being_carried_out_is_named_with_its_log_id() {
        let mut writer = EntryWriter::new(Duration::ZERO, 0);
        writer.push(&Item::OpenSession);
        for name in ["add", "r#type"] {
            writer.push(&Item::Command {
                session: 1,
                sequence: 1,
                responded_to: 0,
                fence: None,
                key: None,
                service: Bytes::from_static(b"Counter"),
                payload: payload(name),
            });
        }
        let running = Running::default();
        let underway = running.entry(2, 17, writer.finish());
        let first = running.look()[0].id();
        underway.at(1);
        assert_eq!(texts(&running), ["command Counter.add at log id 2.17.1"]);
        assert_ne!(running.look()[0].id(), first);
        underway.at(2);
        assert_eq!(texts(&running), ["command Counter.r#type at log id 2.17.2"]);
        drop(underway);
        assert!(running.look().is_empty());
    }

    #[test]
    fn queries_are_named_and_bytes_that_are_none_do_no_harm() {
        let running = Running::default();
        let queries = [payload("get"), Bytes::from_static(b"\xc1"), Bytes::new()];
        let queries = queries.map(|payload| (Arc::from("Counter"), payload));
        let underway = running.queries(Arc::from(queries));
        assert_eq!(texts(&running), ["query Counter.get"]);
        for ordinal in 1..4 {
            underway.at(ordinal);
            assert_eq!(texts(&running), ["query unknown"]);
        }
    }
}
