//! Whether what the clients and subscribers saw can be what one copy did.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use braft::testing::{Linearizability, Model, Observed, linearizable};

use crate::clients::KEYS;
use crate::history::{Call, Entry, Fate, Level, Told};
use crate::service::Value;

/// Contradictions of one kind that are shown.
const SHOWN: usize = 5;

/// What the cluster holds once all is over.
#[derive(Debug, Default)]
pub(crate) struct End {
    /// The ids of all writes the clients tried that were never carried out.
    pub(crate) missing: BTreeSet<u64>,
    pub(crate) doubled: Vec<u64>,
}

/// The ids of all writes that the clients tried.
pub(crate) fn tried(entries: &[Entry]) -> Vec<u64> {
    entries.iter().filter_map(|entry| entry.call.id()).collect()
}

/// All that is wrong; `entries` include the reads at the end.
pub(crate) fn judge(entries: &[Entry], told: &[Told], end: &End) -> Vec<String> {
    let mut wrong = Vec::new();
    writes(entries, end, &mut wrong);
    sessions(entries, &mut wrong);
    for (number, told) in told.iter().enumerate() {
        events(number, told, entries, &mut wrong);
    }
    search(entries, end, &mut wrong);
    wrong
}

fn some<T: std::fmt::Debug>(what: &str, all: &[T], wrong: &mut Vec<String>) {
    if !all.is_empty() {
        let shown = &all[..all.len().min(SHOWN)];
        wrong.push(format!("{}: {what}: {shown:?}", all.len()));
    }
}

/// What was acknowledged is there, what was refused is not, and nothing is there twice.
fn writes(entries: &[Entry], end: &End, wrong: &mut Vec<String>) {
    let of = |wanted: fn(&Fate) -> bool, is_there: bool| {
        let writes = entries.iter().filter(|entry| wanted(&entry.fate));
        let writes = writes.filter(|entry| {
            let id = entry.call.id();
            id.is_some_and(|id| end.missing.contains(&id) != is_there)
        });
        writes.collect::<Vec<_>>()
    };
    let lost = of(|fate| matches!(fate, Fate::Answered(_)), false);
    some("acknowledged writes are lost", &lost, wrong);
    let done = of(|fate| matches!(fate, Fate::Refused(_)), true);
    some("refused writes were carried out", &done, wrong);
    some("writes were carried out twice", &end.doubled, wrong);
}

/// The version that a client has seen with an answer: after the call, if it wrote.
fn version(entry: &Entry) -> Option<u64> {
    let Fate::Answered(value) = &entry.fate else {
        return None;
    };
    Some(match entry.call {
        Call::Swap { .. } => value.version + 1,
        Call::Replace { expected, .. } if expected == value.id => value.version + 1,
        _ => value.version,
    })
}

/// No client sees less than it has seen before, whatever way it reads.
fn sessions(entries: &[Entry], wrong: &mut Vec<String>) {
    let mut seen: BTreeMap<(u64, u32), (u64, &Entry)> = BTreeMap::new();
    let mut back = Vec::new();
    // Each client has one call under way at a time, and its entries are in order.
    for entry in entries {
        let Some(version) = version(entry) else {
            continue;
        };
        let key = (entry.client, entry.call.key());
        if let Some((before, earlier)) = seen.get(&key)
            && version < *before
        {
            back.push((*earlier, entry));
            continue;
        }
        seen.insert(key, (version, entry));
    }
    some("clients saw less than before", &back, wrong);
}

/// Each event once and in order, and one for each write.
fn events(number: usize, told: &Told, entries: &[Entry], wrong: &mut Vec<String>) {
    let subscriber = format!("subscriber {number}");
    let mut versions: BTreeMap<u32, u64> = BTreeMap::new();
    let mut by_id: BTreeMap<u64, (u32, Value)> = BTreeMap::new();
    let mut disordered = Vec::new();
    let mut last = None;
    for (position, written) in &told.events {
        let is_first = by_id
            .insert(written.value.id, (written.key, written.value))
            .is_none();
        let before = versions.insert(written.key, written.value.version);
        let (before, version) = (before.unwrap_or(0), written.value.version);
        let follows = before + 1 == version || told.is_gapped && before < version;
        if last >= Some(*position) || !is_first || !follows {
            disordered.push((last, *position, *written));
        }
        last = Some(*position);
    }
    some(
        &format!("{subscriber}: events twice, out of order or left out"),
        &disordered,
        wrong,
    );
    // The subscribers end at the first event of the last register.
    let heard = entries.iter().filter(|entry| entry.call.key() < KEYS);
    let unheard = heard.filter(|entry| {
        let Fate::Answered(before) = &entry.fate else {
            return false;
        };
        let Some(id) = entry.call.id() else {
            return false;
        };
        let wrote = version(entry) != Some(before.version);
        let event = by_id.get(&id);
        let right = event.is_some_and(|(key, value)| {
            *key == entry.call.key() && Some(value.version) == version(entry)
        });
        match wrote {
            true => !(right || told.is_gapped && event.is_none()),
            false => event.is_some(),
        }
    });
    let unheard: Vec<_> = unheard.collect();
    some(
        &format!("{subscriber}: writes with another event, or none"),
        &unheard,
        wrong,
    );
}

/// Registers as a client sees them. What counts is the write that a value comes from: versions are
/// left out, so that this does not rest on what the service says of its order.
struct Registers;

impl Model for Registers {
    type Call = Call;
    type Answer = u64;
    type Key = u32;
    type State = u64;

    fn key(&self, call: &Call) -> u32 {
        call.key()
    }

    fn initial(&self, _: &u32) -> u64 {
        0
    }

    fn step(&self, state: &u64, call: &Call, answer: Option<&u64>) -> Option<u64> {
        if answer.is_some_and(|answer| answer != state) {
            return None;
        }
        Some(match call {
            Call::Swap { id, .. } => *id,
            Call::Replace { expected, id, .. } if expected == state => *id,
            _ => *state,
        })
    }
}

/// Searches for an order of all calls. Writes whose fate was unknown and that the end does not show
/// are left out: whether they are missing is known by then.
fn search(entries: &[Entry], end: &End, wrong: &mut Vec<String>) {
    let mut history = Vec::new();
    let mut observed_by = Vec::new();
    for entry in entries {
        let session = matches!(
            entry.call,
            Call::Get {
                level: Level::Session,
                ..
            }
        );
        let answer = match &entry.fate {
            Fate::Answered(_) if session => continue,
            Fate::Answered(value) => Some((entry.ended, value.id)),
            Fate::Unknown(_) if entry.call.id().is_some_and(|id| !end.missing.contains(&id)) => {
                None
            }
            _ => continue,
        };
        observed_by.push(entry);
        history.push(Observed {
            call: entry.call,
            began: entry.began,
            answer,
        });
    }
    match linearizable(&Registers, &history) {
        Linearizability::Holds => {}
        Linearizability::Violated {
            key,
            ordered,
            stuck,
        } => {
            let stuck: Vec<_> = stuck.iter().map(|place| observed_by[*place]).collect();
            wrong.push(format!(
                "register {key} is not linearizable: after {ordered} calls none of these can be next: \
                 {:?}",
                &stuck[..stuck.len().min(SHOWN)]
            ));
        }
        Linearizability::GaveUp { key, tried } => wrong.push(format!(
            "register {key} could not be judged: the search was given up after {tried} situations"
        )),
    }
}

/// The longest time without an acknowledged write within `began..ended` or reaching into it.
pub(crate) fn longest_gap(acknowledged: &[Duration], began: Duration, ended: Duration) -> Duration {
    let from = acknowledged.partition_point(|at| *at < began);
    let to = acknowledged.partition_point(|at| *at <= ended);
    let from = from.saturating_sub(1);
    let to = (to + 1).min(acknowledged.len());
    let gaps = acknowledged[from.min(to)..to].windows(2);
    gaps.map(|pair| pair[1] - pair[0])
        .max()
        .unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use braft::EventPosition;

    use super::*;
    use crate::service::Written;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn value(version: u64, id: u64) -> Value {
        Value { version, id }
    }

    fn entry(client: u64, call: Call, at: u64, fate: Fate) -> Entry {
        Entry {
            client,
            call,
            began: ms(at),
            ended: ms(at + 1),
            fate,
        }
    }

    fn swap(id: u64) -> Call {
        Call::Swap { key: 1, id }
    }

    fn get(level: Level) -> Call {
        Call::Get { key: 1, level }
    }

    fn told(ids: &[u64]) -> Told {
        let events = (1..).zip(ids).map(|(version, id)| {
            let position = EventPosition {
                index: version,
                ordinal: 0,
            };
            let value = value(version, *id);
            (position, Written { key: 1, value })
        });
        Told {
            events: events.collect(),
            is_gapped: false,
        }
    }

    /// Two writes, one of them without an answer, one refused, and reads.
    fn sound() -> (Vec<Entry>, Vec<Told>, End) {
        let entries = vec![
            entry(1, swap(1), 0, Fate::Answered(value(0, 0))),
            entry(1, swap(2), 2, Fate::Unknown(String::new())),
            entry(1, swap(3), 4, Fate::Refused(String::new())),
            entry(2, get(Level::Lease), 6, Fate::Answered(value(2, 2))),
            entry(1, get(Level::Session), 6, Fate::Answered(value(1, 1))),
            entry(2, get(Level::Session), 8, Fate::Answered(value(2, 2))),
        ];
        let end = End {
            missing: [3].into(),
            doubled: Vec::new(),
        };
        (entries, vec![told(&[1, 2])], end)
    }

    #[test]
    fn what_is_sound_passes() {
        let (entries, told, end) = sound();
        assert_eq!(judge(&entries, &told, &end), Vec::<String>::new());
    }

    #[test]
    fn each_kind_of_wrong_is_found() {
        type Spoil = fn(&mut Vec<Entry>, &mut Vec<Told>, &mut End);
        let spoils: [(&str, Spoil); 9] = [
            ("are lost", |_, _, end| {
                end.missing.insert(1);
            }),
            ("refused writes", |_, _, end| {
                end.missing.remove(&3);
            }),
            ("carried out twice", |_, _, end| end.doubled.push(2)),
            ("saw less", |entries, _, _| {
                entries[5].fate = Fate::Answered(value(1, 1));
            }),
            ("not linearizable", |entries, _, _| {
                entries[3].fate = Fate::Answered(value(0, 0));
            }),
            // It is not missing, but what it wrote is not seen after it was.
            ("not linearizable", |entries, _, _| {
                let stale = Fate::Answered(value(1, 1));
                entries.push(entry(3, get(Level::Linearizable), 10, stale));
            }),
            ("out of order", |_, told, _| told[0].events.swap(0, 1)),
            ("twice, out", |_, told, _| {
                let again = told[0].events[1];
                told[0].events.push(again);
            }),
            ("another event", |_, told, _| {
                told[0].events.remove(0);
            }),
        ];
        for (words, spoil) in spoils {
            let (mut entries, mut told, mut end) = sound();
            spoil(&mut entries, &mut told, &mut end);
            let wrong = judge(&entries, &told, &end);
            assert!(wrong.iter().any(|text| text.contains(words)), "{wrong:?}");
        }
    }

    #[test]
    fn who_missed_events_is_still_told_each_of_the_others_once_and_in_order() {
        let (entries, mut told, end) = sound();
        told[0].is_gapped = true;
        let all = told[0].events.clone();
        told[0].events.remove(0);
        assert_eq!(judge(&entries, &told, &end), Vec::<String>::new());
        for wrong in [vec![all[1], all[0]], vec![all[0], all[1], all[1]]] {
            told[0].events = wrong;
            let wrong = judge(&entries, &told, &end);
            let found = wrong
                .iter()
                .any(|text| text.contains("twice, out of order"));
            assert!(found, "{wrong:?}");
        }
    }

    #[test]
    fn a_gap_counts_where_it_reaches_into_the_time() {
        let acknowledged = [0, 10, 20, 500, 510, 520].map(ms);
        let gap = |began, ended| longest_gap(&acknowledged, ms(began), ms(ended));
        assert_eq!(gap(0, 15), ms(10));
        assert_eq!(gap(15, 30), ms(480));
        assert_eq!(gap(300, 400), ms(480));
        assert_eq!(gap(512, 518), ms(10));
        assert_eq!(gap(600, 700), ms(0));
    }
}
