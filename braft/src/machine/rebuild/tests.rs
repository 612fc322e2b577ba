//! States made anew, from logs and snapshots in memory.

use std::cell::Cell;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::*;
use crate::entry::{EntryWriter, Item};
use crate::error::{ErrorKind, Outcome};
use crate::machine::Watch;
use crate::raft_service;
use crate::request::Refusal;
use crate::service::{Service, State, factory};
use crate::session::session_id;
use crate::settings::{OnPanic, Settings};
use crate::{codec, context::LogPosition};

thread_local! {
    /// Stands for another binary, in which nothing panics.
    static MENDED: Cell<bool> = const { Cell::new(false) };
    /// Calls of `whim` that panic from now on.
    static WHIMS: Cell<usize> = const { Cell::new(0) };
}

#[raft_service(crate = crate)]
#[derive(Default, Serialize, Deserialize)]
struct Fragile {
    total: u64,
}

#[raft_service(crate = crate)]
impl Fragile {
    fn add(&mut self, by: u64) -> u64 {
        self.total += by;
        assert!(by < 100 || MENDED.get(), "{by} is too much");
        self.total
    }

    fn whim(&mut self) -> u64 {
        if WHIMS.get() > 0 {
            WHIMS.set(WHIMS.get() - 1);
            panic!("a whim");
        }
        self.total
    }

    fn total(&self) -> u64 {
        self.total
    }
}

type Command = <Fragile as Service>::Command;
type Query = <Fragile as Service>::Query;

/// The log of a cluster, and up to where a snapshot holds it.
#[derive(Default)]
struct Log {
    entries: Vec<Bytes>,
    /// The state after this many entries is in a snapshot.
    snapshot: Option<u64>,
    /// Entries that are gone.
    purged: u64,
    sequence: u64,
}

const SESSION: LogPosition = LogPosition {
    term: 1,
    index: 0,
    ordinal: 0,
};

impl Log {
    /// One that begins with a session.
    fn new() -> Self {
        let mut log = Log::default();
        log.entry(&[Item::OpenSession]);
        log
    }

    /// Adds an entry; its index.
    fn entry(&mut self, items: &[Item]) -> u64 {
        let mut entry = EntryWriter::new(Duration::ZERO, 1);
        items.iter().for_each(|item| entry.push(item));
        self.entries.push(entry.finish());
        self.entries.len() as u64 - 1
    }

    fn command(&mut self, command: &Command) -> Item {
        self.sequence += 1;
        Item::Command {
            session: session_id(SESSION),
            sequence: self.sequence,
            responded_to: 0,
            fence: None,
            key: None,
            service: Bytes::from_static(Fragile::NAME.as_bytes()),
            payload: codec::encode(command).unwrap().into(),
        }
    }

    fn add(&mut self, by: u64) -> Item {
        self.command(&Command::add { by })
    }

    fn bytes(&self, index: u64) -> Bytes {
        self.entries[usize::try_from(index).unwrap()].clone()
    }

    /// Carries out the entry at an index.
    fn apply(&self, machine: &Machine, index: u64) -> Result<Option<Answers>, HaltError> {
        machine.apply_batch((1, index), self.bytes(index), self)
    }

    /// A replica that has carried out the entries from one index up to before another.
    fn replay(&self, machine: &Machine, from: u64, before: u64) {
        for index in from..before {
            self.apply(machine, index).unwrap();
        }
    }
}

impl Past for Log {
    fn newest_snapshot(&self, _: &Machine) -> io::Result<Option<Replica>> {
        Ok(self.snapshot.map(|entries| {
            let other = machine();
            let all = Log {
                entries: self.entries.clone(),
                ..Log::default()
            };
            all.replay(&other, 0, entries);
            let empty = other.empty_replica();
            std::mem::replace(&mut *other.write(), empty)
        }))
    }

    fn entries(
        &self,
        from: u64,
        before: u64,
        each: &mut dyn FnMut((u64, u64), Logged) -> bool,
    ) -> io::Result<()> {
        for index in from.max(self.purged)..before.min(self.entries.len() as u64) {
            if !each((1, index), Logged::Batch(self.bytes(index))) {
                break;
            }
        }
        Ok(())
    }
}

fn machine() -> Machine {
    Machine::new(vec![factory::<Fragile>()], Watch::default()).unwrap()
}

fn total(machine: &Machine) -> u64 {
    let query = codec::encode(&Query::total {}).unwrap();
    let queries = [(Fragile::NAME.into(), query.into())];
    let answer = machine.query(queries.into()).remove(0).unwrap().0;
    codec::decode(&answer).unwrap()
}

fn totals(answers: &[Result<Bytes, Refusal>]) -> Vec<Option<u64>> {
    let each = answers.iter();
    each.map(|answer| {
        answer
            .as_ref()
            .ok()
            .map(|bytes| codec::decode(bytes).unwrap())
    })
    .collect()
}

/// Five entries with a panic in the middle of the fourth.
fn with_panic() -> (Log, u64) {
    let mut log = Log::new();
    for by in 1..=2 {
        let item = log.add(by);
        log.entry(&[item]);
    }
    let items = [10, 100, 20].map(|by| log.add(by));
    let index = log.entry(&items);
    (log, index)
}

#[test]
fn what_is_before_and_behind_the_panic_in_its_entry_is_carried_out() {
    let (log, index) = with_panic();
    let machine = machine();
    log.replay(&machine, 0, index);
    let answers = log.apply(&machine, index).unwrap().unwrap();
    assert_eq!(totals(&answers), [Some(13), None, Some(33)]);
    assert_eq!(total(&machine), 33);
    let places: Vec<_> = machine.read().panics().unconfirmed().collect();
    assert_eq!(places, [(index, 1)]);
}

#[test]
fn a_snapshot_stands_for_the_log_before_it() {
    let (mut log, index) = with_panic();
    for entries in 1..=index {
        let machine = machine();
        log.replay(&machine, 0, index);
        (log.snapshot, log.purged) = (Some(entries), entries);
        log.apply(&machine, index).unwrap().unwrap();
        assert_eq!(total(&machine), 33, "{entries} entries in the snapshot");
    }
}

#[test]
fn a_log_that_begins_too_late_halts_the_replica() {
    let (mut log, index) = with_panic();
    let machine = machine();
    log.replay(&machine, 0, index);
    (log.snapshot, log.purged) = (Some(1), 2);
    let error = log.apply(&machine, index).unwrap_err().to_string();
    assert!(error.contains("entry 1 is gone"), "{error}");
}

#[test]
fn a_later_snapshot_takes_the_place_of_the_entries_up_to_it() {
    let (mut log, index) = with_panic();
    let item = log.add(3);
    log.entry(&[item]);
    let item = log.add(4);
    log.entry(&[item]);
    let machine = machine();
    log.replay(&machine, 0, index);
    log.snapshot = Some(index + 2);
    assert!(log.apply(&machine, index).unwrap().is_none());
    assert_eq!(total(&machine), 36);
    assert!(log.apply(&machine, index + 1).unwrap().is_none());
    assert_eq!(total(&machine), 36);
    log.apply(&machine, index + 2).unwrap().unwrap();
    assert_eq!(total(&machine), 40);
}

#[test]
fn a_binary_that_does_not_panic_there_obeys_the_log() {
    let (mut log, index) = with_panic();
    let item = log.add(3);
    log.entry(&[item]);
    let skip = Item::SkipPanicked { index, ordinal: 1 };
    let item = log.add(4);
    let noted = log.entry(&[skip, item]);
    let old = machine();
    log.replay(&old, 0, noted + 1);
    MENDED.set(true);
    let new = machine();
    log.replay(&new, 0, noted);
    assert_eq!(total(&new), 136);
    let answers = log.apply(&new, noted).unwrap().unwrap();
    assert!(answers[0].is_ok());
    assert_eq!(totals(&answers[1..]), [Some(40)]);
    assert_eq!(total(&new), total(&old));
    assert_eq!(new.read().digests(), old.read().digests());
    assert_eq!(new.read().panics(), old.read().panics());
    // A snapshot that holds the effect is of no use.
    let late = machine();
    log.replay(&late, 0, noted);
    log.snapshot = Some(noted);
    let error = log.apply(&late, noted).unwrap_err().to_string();
    assert!(error.contains("empty data directory"), "{error}");
    MENDED.set(false);
}

#[test]
fn commands_that_panic_now_and_did_not_before_are_left_out_too() {
    // No more of them than it takes to have their method refused.
    for whims in [1, 2, 3, 7] {
        let mut log = Log::new();
        for _ in 0..7 {
            let item = log.command(&Command::whim {});
            log.entry(&[item]);
        }
        let item = log.add(100);
        let index = log.entry(&[item]);
        let machine = machine();
        log.replay(&machine, 0, index);
        WHIMS.set(whims);
        log.apply(&machine, index).unwrap().unwrap();
        let replica = machine.read();
        assert_eq!(replica.panics().unconfirmed().count(), 1 + whims.min(3));
        assert_eq!(WHIMS.replace(0), whims - whims.min(3));
    }
}

#[test]
fn the_caller_is_told_for_certain_only_once_the_log_says_so() {
    let (mut log, index) = with_panic();
    let machine = machine();
    log.replay(&machine, 0, index);
    let answers = log.apply(&machine, index).unwrap().unwrap();
    let first = answers[1].as_ref().unwrap_err();
    assert_eq!(first.outcome, Outcome::Unknown);
    let again = log.bytes(index);
    log.entries.push(again);
    let answers = log.apply(&machine, index + 1).unwrap().unwrap();
    assert_eq!(answers[1].as_ref().unwrap_err().outcome, Outcome::Unknown);
    log.entry(&[Item::SkipPanicked { index, ordinal: 1 }]);
    let again = log.bytes(index);
    log.entries.push(again);
    log.apply(&machine, index + 2).unwrap().unwrap();
    let answers = log.apply(&machine, index + 3).unwrap().unwrap();
    let told = answers[1].as_ref().unwrap_err();
    assert_eq!(
        (told.kind, told.outcome),
        (ErrorKind::Rejected, Outcome::NotApplied)
    );
    assert!(
        told.settled && told.message.contains("100 is too much"),
        "{}",
        told.message
    );
    assert_eq!(total(&machine), 33);
}

#[test]
fn a_replica_that_is_to_halt_carries_out_nothing_more_and_answers_nothing() {
    let (mut log, index) = with_panic();
    let settings = Settings {
        on_panic: OnPanic::Halt,
        ..Settings::default()
    };
    let settings = codec::encode(&settings).unwrap().into();
    let mut seed = EntryWriter::new(Duration::ZERO, 1);
    seed.push(&Item::OpenSession);
    seed.push(&Item::SeedSettings { settings });
    log.entries[0] = seed.finish();
    let machine = machine();
    log.replay(&machine, 0, index);
    assert!(log.apply(&machine, index).unwrap().is_none());
    assert!(log.apply(&machine, index).unwrap().is_none());
    let query = codec::encode(&Query::total {}).unwrap();
    let queries = [(Fragile::NAME.into(), query.into())];
    let refusal = machine.query(queries.into()).remove(0).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::Fatal);
    assert!(
        refusal.message.contains("Fragile.add at log id 1.3.1"),
        "{}",
        refusal.message
    );
}

#[test]
fn a_state_made_anew_from_another_nodes_snapshot_goes_on_from_there() {
    let (mut log, index) = with_panic();
    let item = log.add(3);
    log.entry(&[item]);
    let machine = machine();
    log.replay(&machine, 0, index + 2);
    log.snapshot = Some(2);
    machine.start_over(&log).unwrap();
    assert_eq!(total(&machine), 36);
    assert_eq!(machine.read().applied(), Some((1, index + 1)));
    let places: Vec<_> = machine.read().panics().unconfirmed().collect();
    assert_eq!(places, [(index, 1)]);
}
