//! Whether what the clients saw is what the struct alone would have done.
//!
//! The committed log is carried out on the plain struct, in one go. That decides each answer; the
//! places in the log decide the order, which has to hold in real time. Linear in the length of the
//! history, and no key is needed to split it by.

use std::collections::{BTreeMap, HashMap};

use super::history::Operation;
use super::readable::readable;
use super::record::{Difference, Entry, Ran};
use super::violation::{Promise, Violation};
use crate::call::ReadLevel;
use crate::codec;
use crate::context::{LogPosition, RequestId};
use crate::error::{ErrorKind, Outcome};
use crate::life::Life;
use crate::service::{AnyService, Moment, Service, factory};

/// Of every service, until a cluster has agreed on a later one.
const FIRST_VERSION: u32 = 1;

/// The state of one node at the end.
pub(super) struct Final {
    pub(super) node: usize,
    /// The log index up to which it has applied the log.
    pub(super) index: u64,
    pub(super) state: Vec<u8>,
}

/// What is known of one check.
pub(super) struct Evidence {
    pub(super) operations: Vec<Operation>,
    pub(super) log: BTreeMap<u64, Entry>,
    pub(super) difference: Option<Difference>,
    pub(super) finals: Vec<Final>,
}

/// Where an operation took place: the log index, and the place within the entry. A query is behind
/// all of the entry that it has seen last.
pub(super) type Place = (u64, u64);

/// Where each operation took place, as far as it did.
pub(super) fn places(evidence: &Evidence) -> Vec<Option<Place>> {
    let runs: HashMap<RequestId, Place> = runs(&evidence.log)
        .filter_map(|(place, ran)| Some((ran.moment.request?, place)))
        .collect();
    let place = |operation: &Operation| {
        if operation.read.is_some() {
            return (operation.result.is_ok()).then_some((operation.index, u64::MAX));
        }
        let mut requests = operation.requests.iter();
        requests.find_map(|request| runs.get(request).copied())
    };
    evidence.operations.iter().map(place).collect()
}

fn runs(log: &BTreeMap<u64, Entry>) -> impl Iterator<Item = (Place, &Ran)> {
    let of_entry = |(index, entry): (&u64, _)| {
        let index = *index;
        let entry: &Entry = entry;
        entry
            .ran
            .iter()
            .map(move |ran| ((index, u64::from(ran.moment.position.ordinal)), ran))
    };
    log.iter().flat_map(of_entry)
}

/// Judges a check; the first promise that was broken.
pub(super) fn judge<S: Service>(evidence: &Evidence) -> Result<(), Violation> {
    if let Some(difference) = &evidence.difference {
        let promise = if difference.is_of_replicas {
            Promise::OneLog
        } else {
            Promise::Invariants
        };
        let text = difference.text.clone();
        return Err(Violation::at(promise, difference.index, text));
    }
    the_log_is_whole(&evidence.log)?;
    each_command_ran_as_it_was_told(evidence)?;
    nothing_was_rejected::<S>(&evidence.operations)?;
    let places = places(evidence);
    real_time_holds(&evidence.operations, &places)?;
    sessions_see_their_past(&evidence.operations, &places)?;
    the_struct_alone_agrees::<S>(evidence)
}

fn the_log_is_whole(log: &BTreeMap<u64, Entry>) -> Result<(), Violation> {
    let mut last: Option<(u64, &Entry)> = None;
    for (index, entry) in log {
        if let Some((before, previous)) = last {
            if *index != before + 1 {
                let text = format!("no node has applied log index {}", before + 1);
                return Err(Violation::of(Promise::WholeLog, text, []));
            }
            if entry.term < previous.term || entry.clock < previous.clock {
                let text = format!(
                    "term or log time went back at log index {index}: from {} and {:?} to {} and \
                     {:?}",
                    previous.term, previous.clock, entry.term, entry.clock
                );
                return Err(Violation::at(Promise::WholeLog, *index, text));
            }
        }
        last = Some((*index, entry));
    }
    Ok(())
}

fn each_command_ran_as_it_was_told(evidence: &Evidence) -> Result<(), Violation> {
    let mut asked: HashMap<RequestId, usize> = HashMap::new();
    for (at, operation) in evidence.operations.iter().enumerate() {
        asked.extend(operation.requests.iter().map(|request| (*request, at)));
    }
    // The runs of each operation.
    let mut ran: HashMap<usize, Vec<&Ran>> = HashMap::new();
    for (_, run) in runs(&evidence.log) {
        let position = run.moment.position;
        if run.command.is_none() {
            continue;
        }
        let of = run.moment.request.and_then(|request| asked.get(&request));
        let Some(at) = of.copied() else {
            let text = format!(
                "{} was carried out at {position}, and no client had sent it",
                run.name()
            );
            return Err(Violation::of(Promise::Once, text, []));
        };
        if Some(&evidence.operations[at].call) != run.command.as_ref() {
            let text = format!(
                "{} was carried out at {position} under the id of another call",
                run.name()
            );
            return Err(Violation::of(Promise::Once, text, [at]));
        }
        ran.entry(at).or_default().push(run);
    }
    for (at, operation) in evidence.operations.iter().enumerate() {
        let ran = ran.get(&at).map_or(&[][..], Vec::as_slice);
        if operation.read.is_none()
            && let Some(text) = wrong_runs(operation, ran)
        {
            return Err(Violation::of(Promise::Once, text, [at]));
        }
    }
    Ok(())
}

fn wrong_runs(operation: &Operation, ran: &[&Ran]) -> Option<String> {
    let call = &operation.text;
    if let [first, second, ..] = ran {
        let (first, second) = (first.moment.position, second.moment.position);
        return Some(format!(
            "{call} was carried out twice, at {first} and at {second}"
        ));
    }
    let run = ran.first();
    match (&operation.result, run) {
        (Ok(answer), None) => Some(format!(
            "{call} was acknowledged with {}, and is not in the log: it was lost",
            readable(answer)
        )),
        (Ok(answer), Some(run)) => (Some(answer) != run.answer.as_ref()).then(|| {
            let given = run.answer.as_deref().map_or("nothing".to_owned(), readable);
            format!(
                "{call} at {} answered\n    {}  to the client\n    {given}  when it was carried \
                 out",
                run.moment.position,
                readable(answer)
            )
        }),
        (Err(error), Some(run)) => (error.outcome == Outcome::NotApplied).then(|| {
            format!(
                "{call} was carried out at {}, and its client was told that nothing happened: \
                 {:?}, {}",
                run.moment.position, error.kind, error.message
            )
        }),
        (Err(error), None) => (error.outcome == Outcome::Applied).then(|| {
            format!(
                "{call} was not carried out, and its client was told that it was: {:?}, {}",
                error.kind, error.message
            )
        }),
    }
}

/// Invented calls are calls of the service: what rejects one is the service itself. A call that does
/// not belong to all versions may be.
fn nothing_was_rejected<S: Service>(operations: &[Operation]) -> Result<(), Violation> {
    for (at, operation) in operations.iter().enumerate() {
        if let Err(error) = &operation.result
            && error.kind == ErrorKind::Rejected
            && !is_limited::<S>(operation)
        {
            let text = format!("{} was rejected: {}", operation.text, error.message);
            return Err(Violation::of(Promise::Served, text, [at]));
        }
    }
    Ok(())
}

/// Whether there are versions that do not know a call.
fn is_limited<S: Service>(operation: &Operation) -> bool {
    let life = match operation.read {
        None => codec::decode(&operation.call).map(|call| S::__command_life(&call)),
        Some(_) => codec::decode(&operation.call).map(|call| S::__query_life(&call)),
    };
    life.is_ok_and(|life| life != Life::ALWAYS)
}

/// What ended before something began comes before it in the log.
fn real_time_holds(operations: &[Operation], places: &[Option<Place>]) -> Result<(), Violation> {
    let all = (0..operations.len()).collect();
    for (at, before) in furthest_before(all, operations, places) {
        let (operation, seen) = (&operations[at], &operations[before]);
        let (place, before_place) = (places[at], places[before]);
        let text = match operation.read {
            None if place <= before_place => format!(
                "{} took place at {}, though {} had ended before it began, at {}",
                operation.text,
                display(place),
                seen.text,
                display(before_place)
            ),
            Some(ReadLevel::Linearizable | ReadLevel::Lease | ReadLevel::Follower)
                if place < before_place =>
            {
                format!(
                    "the linearizable query {} was stale: it saw {}, though {} had ended before it \
                 began, at {}",
                    operation.text,
                    display(place),
                    seen.text,
                    display(before_place)
                )
            }
            _ => continue,
        };
        return Err(Violation::of(Promise::RealTime, text, [before, at]));
    }
    Ok(())
}

/// A session query sees all that its client has seen.
fn sessions_see_their_past(
    operations: &[Operation],
    places: &[Option<Place>],
) -> Result<(), Violation> {
    let mut clients: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, operation) in operations.iter().enumerate() {
        clients.entry(operation.client).or_default().push(at);
    }
    for of_client in clients.into_values() {
        for (at, before) in furthest_before(of_client, operations, places) {
            let is_session = operations[at].read == Some(ReadLevel::Session);
            if is_session && places[at] < places[before] {
                let text = format!(
                    "the session query {} saw {}, and its client had seen {} before, by {}",
                    operations[at].text,
                    display(places[at]),
                    display(places[before]),
                    operations[before].text
                );
                return Err(Violation::of(Promise::Sessions, text, [before, at]));
            }
        }
    }
    Ok(())
}

/// Each of the operations that took place, with the furthest in the log of those that had ended
/// before it began.
fn furthest_before(
    mut of: Vec<usize>,
    operations: &[Operation],
    places: &[Option<Place>],
) -> Vec<(usize, usize)> {
    of.retain(|at| places[*at].is_some());
    let mut by_end = of.clone();
    of.sort_by_key(|at| operations[*at].began);
    // What has no answer may take place at any later time.
    by_end.retain(|at| operations[*at].result.is_ok());
    by_end.sort_by_key(|at| operations[*at].ended);
    let mut ended = by_end.into_iter().peekable();
    let mut furthest: Option<(Option<Place>, usize)> = None;
    let mut found = Vec::new();
    for at in of {
        let has_ended = |before: &usize| operations[*before].ended < operations[at].began;
        while let Some(before) = ended.next_if(has_ended) {
            furthest = furthest.max(Some((places[before], before)));
        }
        found.extend(furthest.map(|(_, before)| (at, before)));
    }
    found
}

/// The plain struct, moved by the log, gives the same answers and ends in the same state.
fn the_struct_alone_agrees<S: Service>(evidence: &Evidence) -> Result<(), Violation> {
    let latest = factory::<S>()();
    let mut plain = latest.at_version(FIRST_VERSION);
    let mut queries: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    let mut commands: HashMap<RequestId, usize> = HashMap::new();
    for (at, operation) in evidence.operations.iter().enumerate() {
        if operation.read.is_some() && operation.result.is_ok() {
            queries.entry(operation.index).or_default().push(at);
        }
        commands.extend(operation.requests.iter().map(|request| (*request, at)));
    }
    let at_end = |plain: &dyn AnyService, index: u64| same_states(plain, index, &evidence.finals);
    for (index, entry) in &evidence.log {
        for ran in &entry.ran {
            plain = at_version(&*latest, plain, ran.version)?;
            let of = ran
                .moment
                .request
                .and_then(|request| commands.get(&request));
            let shows: Vec<_> = of.copied().into_iter().collect();
            let answer = match &ran.command {
                None => {
                    plain.wake(ran.moment);
                    None
                }
                Some(command) => match plain.apply(ran.moment, command) {
                    Ok(applied) => applied.answer.ok(),
                    Err(error) => {
                        return Err(Violation::of(Promise::Struct, error.to_string(), shows));
                    }
                },
            };
            if answer.as_deref() != ran.answer.as_deref() {
                let readable =
                    |answer: Option<&[u8]>| answer.map_or("nothing".to_owned(), readable);
                let text = format!(
                    "{} at {} answered\n    {}  on the cluster\n    {}  on the struct alone",
                    ran.name(),
                    ran.moment.position,
                    readable(ran.answer.as_deref()),
                    readable(answer.as_deref()),
                );
                return Err(Violation::of(Promise::Struct, text, shows));
            }
        }
        plain = at_version(&*latest, plain, entry.version)?;
        let moment = Moment {
            position: LogPosition {
                term: entry.term,
                index: *index,
                ordinal: 0,
            },
            request: None,
            now: entry.clock,
            seed: *index,
            room: 0,
        };
        for at in queries.remove(index).unwrap_or_default() {
            same_answer(&*plain, moment, &evidence.operations[at], at)?;
        }
        at_end(&*plain, *index)?;
    }
    if let Some((index, of)) = queries.into_iter().find(|(index, _)| *index > 0) {
        let text = format!("a query saw log index {index}, which no node has applied");
        return Err(Violation::of(Promise::Struct, text, of));
    }
    Ok(())
}

/// The struct once this version is active.
fn at_version(
    latest: &dyn AnyService,
    plain: Box<dyn AnyService>,
    version: u32,
) -> Result<Box<dyn AnyService>, Violation> {
    if version <= plain.active() {
        return Ok(plain);
    }
    let upgraded = latest.upgrade(plain, version);
    upgraded.map_err(|error| Violation::of(Promise::Struct, error.to_string(), []))
}

fn same_answer(
    plain: &dyn AnyService,
    moment: Moment,
    operation: &Operation,
    at: usize,
) -> Result<(), Violation> {
    let Ok(given) = &operation.result else {
        return Ok(());
    };
    let alone = plain.query(moment, &operation.call);
    if alone.as_ref().is_ok_and(|alone| **alone == **given) {
        return Ok(());
    }
    let alone = match alone {
        Ok(alone) => readable(&alone),
        Err(error) => error.to_string(),
    };
    Err(Violation::of(
        Promise::Struct,
        format!(
            "the query {} at log index {} answered\n    {}  on the cluster\n    {alone}  on the \
             struct alone",
            operation.text,
            moment.position.index,
            readable(given)
        ),
        [at],
    ))
}

fn same_states(plain: &dyn AnyService, index: u64, finals: &[Final]) -> Result<(), Violation> {
    for last in finals.iter().filter(|last| last.index == index) {
        let mut alone = Vec::new();
        let saved = plain.save(&mut alone);
        saved.map_err(|error| Violation::of(Promise::Struct, error.to_string(), []))?;
        if alone != last.state {
            let text = format!(
                "at log index {index} the state is\n    {}  on node {}\n    {}  on the struct alone",
                readable(&last.state),
                last.node,
                readable(&alone)
            );
            return Err(Violation::at(Promise::Struct, index, text));
        }
    }
    Ok(())
}

fn display(place: Option<Place>) -> String {
    match place {
        None => "no place".to_owned(),
        Some((index, u64::MAX)) => format!("log index {index}"),
        Some((index, ordinal)) => format!("log index {index}.{ordinal}"),
    }
}

#[cfg(all(test, feature = "macros"))]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use serde::{Deserialize, Serialize};

    use super::super::history::Failed;
    use super::super::record::Record;
    use super::*;
    use crate::raft_service;
    use crate::service::State as _;

    #[raft_service(crate = crate)]
    #[derive(Default, Serialize, Deserialize)]
    struct Sum {
        value: u64,
    }

    #[raft_service(crate = crate)]
    impl Sum {
        fn add(&mut self, by: u64) -> u64 {
            self.value += by;
            self.value
        }

        fn get(&self) -> u64 {
            self.value
        }
    }

    const SESSION: u64 = 1;

    fn add(by: u64) -> Bytes {
        type Command = <Sum as Service>::Command;
        codec::encode(&Command::add { by }).unwrap().into()
    }

    fn get() -> Bytes {
        type Query = <Sum as Service>::Query;
        codec::encode(&Query::get {}).unwrap().into()
    }

    fn number(value: u64) -> Bytes {
        codec::encode(&value).unwrap().into()
    }

    /// A log of one `add` in each entry: the sequence, what it adds, and its answer.
    fn log(adds: &[(u64, u64, u64)]) -> BTreeMap<u64, Entry> {
        let record = Record::new(Sum::NAME);
        let witness = record.witness(0);
        for (index, (sequence, by, answer)) in (1..).zip(adds) {
            let moment = Moment {
                position: LogPosition {
                    term: 1,
                    index,
                    ordinal: 0,
                },
                request: Some(RequestId {
                    session: SESSION,
                    sequence: *sequence,
                }),
                now: Duration::ZERO,
                seed: 0,
                room: 0,
            };
            let sum = (Sum::NAME, FIRST_VERSION);
            witness.ran(&moment, sum, Some(&add(*by)), Some(&number(*answer)));
            witness.applied((1, index), &[], Duration::ZERO, &|_| FIRST_VERSION);
        }
        record.read().0
    }

    fn operation(began: u64, ended: u64, result: Result<u64, Outcome>) -> Operation {
        Operation {
            id: None,
            client: 0,
            read: None,
            call: Bytes::new(),
            text: String::new(),
            began: Duration::from_millis(began),
            ended: Duration::from_millis(ended),
            requests: Vec::new(),
            index: 0,
            result: result.map(number).map_err(|outcome| Failed {
                kind: ErrorKind::Unavailable,
                outcome,
                message: String::new(),
            }),
        }
    }

    fn command(
        sequence: u64,
        by: u64,
        (began, ended): (u64, u64),
        result: Result<u64, Outcome>,
    ) -> Operation {
        Operation {
            call: add(by),
            text: format!("add {sequence}"),
            requests: vec![RequestId {
                session: SESSION,
                sequence,
            }],
            ..operation(began, ended, result)
        }
    }

    fn query(level: ReadLevel, index: u64, (began, ended): (u64, u64), value: u64) -> Operation {
        Operation {
            read: Some(level),
            call: get(),
            text: "get".to_owned(),
            index,
            ..operation(began, ended, Ok(value))
        }
    }

    fn judged(adds: &[(u64, u64, u64)], operations: Vec<Operation>) -> Result<(), String> {
        let evidence = Evidence {
            operations,
            log: log(adds),
            difference: None,
            finals: Vec::new(),
        };
        judge::<Sum>(&evidence).map_err(|violation| violation.text)
    }

    fn broken(adds: &[(u64, u64, u64)], operations: Vec<Operation>, what: &str) {
        let text = judged(adds, operations).expect_err(what);
        assert!(text.contains(what), "{text}");
    }

    #[test]
    fn what_a_correct_cluster_does_passes() {
        let operations = vec![
            command(1, 5, (0, 10), Ok(5)),
            command(2, 1, (5, 30), Err(Outcome::Unknown)),
            command(3, 2, (12, 20), Err(Outcome::NotApplied)),
            query(ReadLevel::Linearizable, 1, (11, 13), 5),
            query(ReadLevel::Local, 1, (40, 41), 5),
            query(ReadLevel::Linearizable, 2, (40, 41), 6),
        ];
        assert_eq!(judged(&[(1, 5, 5), (2, 1, 6)], operations), Ok(()));
    }

    #[test]
    fn a_lost_command_is_found() {
        broken(&[], vec![command(1, 5, (0, 1), Ok(5))], "it was lost");
    }

    #[test]
    fn a_doubled_command_is_found() {
        let operations = vec![command(1, 5, (0, 1), Ok(5))];
        broken(&[(1, 5, 5), (1, 5, 10)], operations, "carried out twice");
    }

    #[test]
    fn a_command_that_was_said_not_to_have_happened_is_found() {
        let operations = vec![command(1, 5, (0, 1), Err(Outcome::NotApplied))];
        broken(&[(1, 5, 5)], operations, "was told that nothing happened");
    }

    #[test]
    fn a_command_that_was_said_to_have_happened_is_found() {
        let operations = vec![command(1, 5, (0, 1), Err(Outcome::Applied))];
        broken(&[], operations, "was told that it was");
    }

    #[test]
    fn a_command_out_of_nowhere_is_found() {
        broken(&[(1, 5, 5)], Vec::new(), "no client had sent it");
    }

    #[test]
    fn an_answer_to_another_call_is_found() {
        let operations = vec![command(1, 5, (0, 1), Ok(7))];
        broken(&[(1, 5, 5)], operations, "to the client");
    }

    #[test]
    fn an_answer_that_the_struct_would_not_give_is_found() {
        let operations = vec![command(1, 5, (0, 1), Ok(7))];
        broken(&[(1, 5, 7)], operations, "on the struct alone");
    }

    #[test]
    fn commands_against_real_time_are_found() {
        let operations = vec![command(2, 5, (0, 1), Ok(6)), command(1, 1, (2, 3), Ok(1))];
        let text = "took place at log index 1.0, though add 2 had ended";
        broken(&[(1, 1, 1), (2, 5, 6)], operations, text);
    }

    #[test]
    fn a_stale_linearizable_query_is_found() {
        let operations = vec![
            command(1, 5, (0, 1), Ok(5)),
            command(2, 5, (2, 3), Ok(10)),
            query(ReadLevel::Linearizable, 1, (4, 5), 5),
        ];
        broken(&[(1, 5, 5), (2, 5, 10)], operations, "was stale");
    }

    #[test]
    fn a_linearizable_query_after_a_fresher_one_of_another_level_is_found() {
        let operations = vec![
            command(1, 5, (0, 9), Ok(5)),
            query(ReadLevel::Local, 1, (1, 2), 5),
            query(ReadLevel::Linearizable, 0, (3, 4), 0),
        ];
        broken(&[(1, 5, 5)], operations, "was stale");
    }

    #[test]
    fn a_session_query_that_forgets_is_found() {
        let mut operations = vec![
            command(1, 5, (0, 1), Ok(5)),
            command(2, 5, (2, 3), Ok(10)),
            query(ReadLevel::Session, 1, (4, 5), 5),
        ];
        let adds = [(1, 5, 5), (2, 5, 10)];
        broken(&adds, operations.clone(), "had seen log index 2.0 before");
        // Another client's.
        operations[2].client = 1;
        assert_eq!(judged(&adds, operations), Ok(()));
    }

    #[test]
    fn a_query_of_the_wrong_state_is_found() {
        let operations = vec![
            command(1, 5, (0, 1), Ok(5)),
            query(ReadLevel::Local, 1, (2, 3), 4),
        ];
        broken(&[(1, 5, 5)], operations, "the query get at log index 1");
    }

    #[test]
    fn a_hole_in_the_log_is_found() {
        let mut log = log(&[(1, 5, 5), (2, 5, 10), (3, 5, 15)]);
        log.remove(&2);
        let evidence = Evidence {
            operations: Vec::new(),
            log,
            difference: None,
            finals: Vec::new(),
        };
        let text = judge::<Sum>(&evidence).unwrap_err().text;
        assert!(text.contains("no node has applied log index 2"), "{text}");
    }

    #[test]
    fn a_replica_in_another_state_is_found() {
        let evidence = Evidence {
            operations: vec![command(1, 5, (0, 1), Ok(5))],
            log: log(&[(1, 5, 5)]),
            difference: None,
            finals: vec![Final {
                node: 2,
                index: 1,
                state: codec::encode(&Sum { value: 6 }).unwrap(),
            }],
        };
        let text = judge::<Sum>(&evidence).unwrap_err().text;
        assert!(text.contains("on node 2"), "{text}");
    }
}
