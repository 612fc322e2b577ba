//! The committed log as the replicas of a cluster carried it out.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::readable::readable;
use crate::machine::Witness;
use crate::service::Moment;

/// Differences between replicas that are kept; the first one is what matters.
const MAX_DIFFERENCES: usize = 8;

/// A command that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ran {
    pub(super) moment: Moment,
    /// That of the service that carried it out.
    pub(super) version: u32,
    /// None for the timer.
    pub(super) command: Option<Bytes>,
    /// None if it has no encoded form.
    pub(super) answer: Option<Bytes>,
}

impl Ran {
    /// What was carried out, for people.
    pub(super) fn name(&self) -> String {
        self.command
            .as_deref()
            .map_or_else(|| "the timer".to_owned(), readable)
    }
}

/// A log entry that was applied.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) term: u64,
    /// Log time once it was applied.
    pub(super) clock: Duration,
    /// The version of the checked service that is active since then.
    pub(super) version: u32,
    /// The commands of the checked service that were carried out, in order.
    pub(super) ran: Vec<Ran>,
    /// A hash of the entry.
    content: u64,
    /// The first node that applied it.
    node: usize,
}

/// Two replicas that carried out the same entry did not do the same; or something else was broken
/// that holds at each moment, when this was the last entry that was known.
#[derive(Clone, Debug)]
pub(super) struct Difference {
    /// Whether it is one of what replicas did at an entry.
    pub(super) is_of_replicas: bool,
    pub(super) index: u64,
    pub(super) text: String,
}

/// What all nodes of a cluster did, put together.
pub(super) struct Record {
    service: &'static str,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    entries: BTreeMap<u64, Entry>,
    differences: Vec<Difference>,
    /// Who was seen to lead in each term.
    leaders: BTreeMap<u64, usize>,
}

impl Record {
    pub(super) fn new(service: &'static str) -> Arc<Self> {
        Arc::new(Record {
            service,
            shared: Mutex::default(),
        })
    }

    /// The witness of a node, for one run of it.
    pub(super) fn witness(self: &Arc<Self>, node: usize) -> Arc<dyn Witness> {
        Arc::new(NodeWitness {
            record: Arc::clone(self),
            node,
            pending: Mutex::default(),
        })
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log, and the first difference that showed between replicas.
    pub(super) fn read(&self) -> (BTreeMap<u64, Entry>, Option<Difference>) {
        let shared = self.shared();
        (shared.entries.clone(), shared.differences.first().cloned())
    }

    /// Notes that a node leads in a term: no other may.
    pub(super) fn leads(&self, term: u64, node: usize) {
        let mut shared = self.shared();
        let known = *shared.leaders.entry(term).or_insert(node);
        if known != node {
            shared.note(format!(
                "node {known} and node {node} both led in term {term}"
            ));
        }
    }

    /// Notes that two nodes hold a leader's token at once.
    pub(super) fn two_tokens(&self, one: usize, other: usize) {
        self.shared().note(format!(
            "node {one} and node {other} held a leader's token at once"
        ));
    }

    /// Notes that something was broken that has to hold at each moment.
    pub(super) fn broke(&self, text: String) {
        self.shared().note(text);
    }

    /// Whether the replicas are known to differ.
    pub(super) fn differs(&self) -> bool {
        !self.shared().differences.is_empty()
    }
}

impl Shared {
    /// Notes something at the end of what is known of the log.
    fn note(&mut self, text: String) {
        if self.differences.len() < MAX_DIFFERENCES {
            let last = self.entries.last_key_value();
            let index = last.map_or(0, |(index, _)| *index);
            self.differences.push(Difference {
                is_of_replicas: false,
                index,
                text,
            });
        }
    }
}

struct NodeWitness {
    record: Arc<Record>,
    node: usize,
    /// What ran of the entry that is being applied.
    pending: Mutex<Vec<Ran>>,
}

impl NodeWitness {
    fn pending(&self) -> MutexGuard<'_, Vec<Ran>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Witness for NodeWitness {
    fn ran(
        &self,
        moment: &Moment,
        (service, version): (&str, u32),
        command: Option<&[u8]>,
        answer: Option<&[u8]>,
    ) {
        if service != self.record.service {
            return;
        }
        let mut pending = self.pending();
        // An entry that was given up in its middle is carried out again from its start.
        if pending.last().is_some_and(|last| {
            last.moment.position >= moment.position
                || last.moment.position.index != moment.position.index
        }) {
            pending.clear();
        }
        pending.push(Ran {
            moment: *moment,
            version,
            command: command.map(Bytes::copy_from_slice),
            answer: answer.map(Bytes::copy_from_slice),
        });
    }

    fn applied(
        &self,
        (term, index): (u64, u64),
        entry: &[u8],
        clock: Duration,
        active: &dyn Fn(&str) -> u32,
    ) {
        let mut ran = std::mem::take(&mut *self.pending());
        ran.retain(|ran| ran.moment.position.index == index);
        let mut hasher = DefaultHasher::new();
        entry.hash(&mut hasher);
        let entry = Entry {
            term,
            clock,
            version: active(self.record.service),
            ran,
            content: hasher.finish(),
            node: self.node,
        };
        let mut shared = self.record.shared();
        let shared = &mut *shared;
        let Some(known) = shared.entries.get(&index) else {
            shared.entries.insert(index, entry);
            return;
        };
        if shared.differences.len() < MAX_DIFFERENCES
            && let Some(text) = difference(known, &entry)
        {
            let text = format!("the nodes disagree at log index {index}: {text}");
            shared.differences.push(Difference {
                is_of_replicas: true,
                index,
                text,
            });
        }
    }
}

fn difference(a: &Entry, b: &Entry) -> Option<String> {
    let (one, other) = if a.node == b.node {
        (
            format!("node {} at first", a.node),
            "the same node, started again,".to_owned(),
        )
    } else {
        (format!("node {}", a.node), format!("node {}", b.node))
    };
    if (a.term, a.content) != (b.term, b.content) {
        return Some(format!(
            "{one} applied an entry of term {}, {other} another one of term {}",
            a.term, b.term
        ));
    }
    if a.clock != b.clock {
        let (a, b) = (a.clock, b.clock);
        return Some(format!("{one} had log time {a:?}, {other} had {b:?}"));
    }
    if a.version != b.version {
        let (a, b) = (a.version, b.version);
        return Some(format!("{one} then had version {a}, {other} had {b}"));
    }
    for (a, b) in a.ran.iter().zip(&b.ran) {
        if a == b {
            continue;
        }
        let command = a.name();
        if (&a.moment, &a.command) != (&b.moment, &b.command) {
            let b = b.name();
            return Some(format!("{one} carried out {command}, {other} {b}"));
        }
        if a.version != b.version {
            let (a, b) = (a.version, b.version);
            return Some(format!(
                "{one} carried out {command} as version {a}, {other} as version {b}"
            ));
        }
        let answer = |ran: &Ran| ran.answer.as_deref().map_or("nothing".to_owned(), readable);
        return Some(format!(
            "{command} answered\n    {}  on {one}\n    {}  on {other}",
            answer(a),
            answer(b)
        ));
    }
    let (a, b) = (a.ran.len(), b.ran.len());
    (a != b).then(|| format!("{one} carried out {a} commands, {other} {b}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::LogPosition;

    fn moment(index: u64, ordinal: u32) -> Moment {
        Moment {
            position: LogPosition {
                term: 1,
                index,
                ordinal,
            },
            request: None,
            now: Duration::ZERO,
            seed: 1,
            room: 0,
        }
    }

    fn apply(witness: &dyn Witness, index: u64, answers: &[&[u8]]) {
        for (ordinal, answer) in (0..).zip(answers) {
            let moment = moment(index, ordinal);
            witness.ran(&moment, ("S", 1), Some(&[0xc0]), Some(answer));
        }
        witness.applied((1, index), b"entry", Duration::ZERO, &|_| 1);
    }

    #[test]
    fn equal_replicas_make_one_log() {
        let record = Record::new("S");
        for node in 0..3 {
            let witness = record.witness(node);
            apply(&*witness, 1, &[&[1], &[2]]);
            apply(&*witness, 2, &[]);
        }
        let (log, difference) = record.read();
        assert!(difference.is_none());
        assert_eq!(log.len(), 2);
        assert_eq!(log[&1].ran.len(), 2);
    }

    #[test]
    fn an_answer_that_differs_is_noted_with_both_nodes() {
        let record = Record::new("S");
        apply(&*record.witness(0), 1, &[&[1]]);
        apply(&*record.witness(2), 1, &[&[2]]);
        let difference = record.read().1.expect("they differ");
        assert_eq!(difference.index, 1);
        assert!(difference.text.contains("node 0") && difference.text.contains("node 2"));
    }

    #[test]
    fn a_command_that_only_one_carried_out_is_noted() {
        let record = Record::new("S");
        apply(&*record.witness(0), 1, &[&[1], &[1]]);
        apply(&*record.witness(1), 1, &[&[1]]);
        assert!(record.differs());
    }

    #[test]
    fn a_version_that_only_one_has_is_noted() {
        let record = Record::new("S");
        for (node, version) in [(0, 1), (1, 2)] {
            let witness = record.witness(node);
            witness.applied((1, 1), b"entry", Duration::ZERO, &|_| version);
        }
        let difference = record.read().1.expect("they differ");
        assert!(
            difference.text.contains("had version 1"),
            "{}",
            difference.text
        );
    }

    #[test]
    fn an_entry_given_up_in_its_middle_counts_once() {
        let record = Record::new("S");
        let witness = record.witness(0);
        witness.ran(&moment(1, 0), ("S", 1), Some(&[0xc0]), Some(&[1]));
        apply(&*witness, 1, &[&[1], &[2]]);
        assert_eq!(record.read().0[&1].ran.len(), 2);
    }
}
