//! Commands carried out, without a log.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::codec::write_entry;
use crate::context::LogPosition;
use crate::entry::{EntryWriter, Item};
use crate::machine::{Machine, NoPast, Watch};
use crate::service::{AnyService, Moment, Service, factory};

const TERM: u64 = 1;
/// How many more wakes a service may ask for: as many as it likes.
const ROOM: usize = usize::MAX;

/// A service by itself: bytes of a command in, bytes of its answer out.
pub struct Single {
    service: Box<dyn AnyService>,
    index: u64,
}

impl Single {
    /// With an empty state.
    pub fn new<S: Service>() -> Self {
        Single {
            service: factory::<S>()(),
            index: 0,
        }
    }

    /// Carries out a command.
    pub fn apply(&mut self, command: &[u8]) -> Vec<u8> {
        self.index += 1;
        let applied = self.service.apply(moment(self.index), command);
        let applied = applied.expect("the service knows the command");
        applied.answer.expect("the answer has a form")
    }

    /// Answers a query.
    pub fn query(&self, query: &[u8]) -> Vec<u8> {
        let answer = self.service.query(moment(self.index), query);
        answer.expect("the service knows the query")
    }
}

impl fmt::Debug for Single {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Single")
            .field("service", &self.service.name())
            .finish_non_exhaustive()
    }
}

fn moment(index: u64) -> Moment {
    Moment {
        position: LogPosition {
            term: TERM,
            index,
            ordinal: 0,
        },
        request: None,
        now: Duration::from_secs(1),
        seed: index,
        room: ROOM,
    }
}

/// The state machine of a node, with one service and one session.
pub struct Replica {
    pub(super) machine: Machine,
    service: &'static str,
    /// Of the next entry.
    index: u64,
    session: u64,
    /// Of the next command.
    sequence: u64,
}

impl Replica {
    /// With an empty state.
    pub fn new<S: Service>() -> Self {
        let machine = Machine::new(vec![factory::<S>()], Watch::default());
        let mut replica = Replica {
            machine: machine.expect("one service has one name"),
            service: S::NAME,
            index: 1,
            session: 0,
            sequence: 1,
        };
        let mut entry = EntryWriter::new(Duration::from_secs(1), 1);
        entry.push(&Item::OpenSession);
        let id = replica.carry_out(entry.finish()).remove(0);
        replica.session = u64::from_le_bytes(id[..].try_into().expect("a session id has 8 bytes"));
        replica
    }

    /// The next entry, with these commands; it has to be carried out next.
    pub fn entry(&mut self, payloads: &[Bytes]) -> Bytes {
        let first = self.sequence;
        self.sequence += payloads.len() as u64;
        write_entry(self.service, self.session, first, payloads)
    }

    /// Carries out an entry; how many commands were answered.
    pub fn apply(&mut self, entry: Bytes) -> usize {
        self.carry_out(entry).len()
    }

    fn carry_out(&mut self, entry: Bytes) -> Vec<Bytes> {
        let answers = self
            .machine
            .apply_batch((TERM, self.index), entry, &NoPast)
            .expect("the replica knows the commands")
            .expect("the entry is the next one");
        self.index += 1;
        let answers: Result<_, _> = answers.into_iter().collect();
        answers.expect("nothing is refused")
    }

    /// Answers queries from one state; how many were answered.
    pub fn query(&self, queries: &[Bytes]) -> usize {
        let queries = queries
            .iter()
            .map(|query| (self.service.into(), query.clone()));
        let answers = self.machine.query(queries.collect());
        answers.iter().filter(|answer| answer.is_ok()).count()
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica")
            .field("service", &self.service)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}
