//! Random operations against a model that is nothing but a vector.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Append {
        count: u8,
        bytes: u16,
        new_term: bool,
    },
    Truncate {
        back: u8,
    },
    TruncateAll,
    Purge {
        back: u8,
    },
    Skip {
        ahead: u8,
    },
    Vote {
        candidate: Option<u64>,
    },
    Commit {
        back: u8,
    },
    Reopen,
    Crash {
        seed: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        10 => (0..30u8, 0..400u16, any::<bool>())
            .prop_map(|(count, bytes, new_term)| Step::Append { count, bytes, new_term }),
        3 => (0..40u8).prop_map(|back| Step::Truncate { back }),
        1 => Just(Step::TruncateAll),
        3 => (0..60u8).prop_map(|back| Step::Purge { back }),
        1 => (1..50u8).prop_map(|ahead| Step::Skip { ahead }),
        2 => any::<Option<u64>>().prop_map(|candidate| Step::Vote { candidate }),
        2 => (0..10u8).prop_map(|back| Step::Commit { back }),
        3 => Just(Step::Reopen),
        2 => any::<u64>().prop_map(|seed| Step::Crash { seed }),
    ];
    proptest::collection::vec(step, 1..40)
}

/// The log as it should be.
#[derive(Default)]
struct Model {
    entries: Vec<LogEntry>,
    purged: Option<LogId>,
    vote: Option<Vote>,
    term: u64,
}

impl Model {
    fn last(&self) -> Option<LogId> {
        self.entries.last().map(|last| last.id).or(self.purged)
    }

    fn next(&self) -> u64 {
        self.last().map_or(0, |last| last.index + 1)
    }

    fn drop_upto(&mut self, upto: LogId) {
        self.entries.retain(|entry| entry.id.index > upto.index);
        self.purged = Some(upto);
    }

    fn check(&self, wal: &Wal) {
        let state = WalState {
            last_purged: self.purged,
            last: self.last(),
        };
        assert_eq!(wal.state(), state);
        assert_eq!(all(wal), self.entries);
        assert_eq!(wal.read_vote(), self.vote);
        for entry in &self.entries {
            let term = wal.term_at(entry.id.index).expect("reads");
            assert_eq!(term, Some(entry.id.term));
        }
        if let Some(middle) = self.entries.get(self.entries.len() / 2) {
            let from = middle.id.index;
            let some = wal.read(from..from + 3, 500).expect("reads");
            let at = self.entries.len() / 2;
            assert!(!some.is_empty());
            assert_eq!(some, self.entries[at..at + some.len()]);
        }
    }
}

fn carry_out(step: &Step, fs: &FaultFs, wal: &mut Wal, model: &mut Model) {
    match *step {
        Step::Append {
            count,
            bytes,
            new_term,
        } => {
            model.term += u64::from(new_term);
            let next = model.next();
            let entries: Vec<LogEntry> = (next..next + u64::from(count))
                .map(|index| entry(model.term, index, usize::from(bytes)))
                .collect();
            append(wal, &entries).expect("is durable");
            model.entries.extend(entries);
        }
        Step::Truncate { back } => {
            let back = usize::from(back);
            if let Some(last) = model.entries.len().checked_sub(back + 1) {
                let index = model.entries[last].id.index;
                truncate(wal, Some(index)).expect("is durable");
                model.entries.truncate(last + 1);
            }
        }
        Step::TruncateAll => {
            truncate(wal, None).expect("is durable");
            model.entries.clear();
        }
        Step::Purge { back } => {
            if let Some(at) = model.entries.len().checked_sub(usize::from(back) + 1) {
                let upto = model.entries[at].id;
                purge(wal, upto).expect("is durable");
                model.drop_upto(upto);
            }
        }
        Step::Skip { ahead } => {
            let upto = id(model.term, model.next() + u64::from(ahead));
            purge(wal, upto).expect("is durable");
            model.drop_upto(upto);
        }
        Step::Vote { candidate } => {
            model.term += 1;
            let vote = Vote {
                term: model.term,
                voted_for: candidate,
                committed: candidate.is_none(),
            };
            answer(|done| wal.save_vote(vote, done)).expect("is durable");
            model.vote = Some(vote);
        }
        Step::Commit { back } => {
            let at = model.entries.len().checked_sub(usize::from(back) + 1);
            wal.save_committed(at.map(|at| model.entries[at].id));
        }
        Step::Reopen => {
            wal.close();
            *wal = open(fs, inline()).expect("opens");
        }
        Step::Crash { seed } => {
            fs.crash(seed);
            *wal = open(fs, inline()).expect("opens");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_a_vector_that_survives(steps in steps()) {
        let fs = FaultFs::new();
        let mut wal = open(&fs, inline()).expect("opens");
        let mut model = Model::default();
        for step in &steps {
            carry_out(step, &fs, &mut wal, &mut model);
            model.check(&wal);
        }
    }
}
