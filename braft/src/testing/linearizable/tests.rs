use proptest::prelude::*;

use super::*;

/// Registers that hold zero at first, by number.
struct Registers;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Write(u8, u64),
    /// Writes, and tells what was there.
    Swap(u8, u64),
    Read(u8),
}

impl Model for Registers {
    type Call = Call;
    type Answer = u64;
    type Key = u8;
    type State = u64;

    fn key(&self, call: &Call) -> u8 {
        match call {
            Call::Write(key, _) | Call::Swap(key, _) | Call::Read(key) => *key,
        }
    }

    fn initial(&self, _: &u8) -> u64 {
        0
    }

    fn step(&self, state: &u64, call: &Call, answer: Option<&u64>) -> Option<u64> {
        let fits = answer.is_none_or(|answer| answer == state);
        match call {
            Call::Write(_, value) => Some(*value),
            Call::Swap(_, value) => fits.then_some(*value),
            Call::Read(_) => fits.then_some(*state),
        }
    }
}

type Seen = Observed<Call, u64>;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn seen(call: Call, began: u64, ended: u64, answer: u64) -> Seen {
    Observed {
        call,
        began: ms(began),
        answer: Some((ms(ended), answer)),
    }
}

fn unknown(call: Call, began: u64) -> Seen {
    Observed {
        call,
        began: ms(began),
        answer: None,
    }
}

fn holds(history: &[Seen]) -> bool {
    match linearizable(&Registers, history) {
        Linearizability::Holds => true,
        Linearizability::Violated { .. } => false,
        gave_up @ Linearizability::GaveUp { .. } => panic!("{gave_up:?}"),
    }
}

#[test]
fn what_a_single_copy_could_have_answered_holds() {
    let write = seen(Call::Write(1, 7), 0, 10, 0);
    // While it is under way, either is seen, and not the old one after the new one.
    let old = seen(Call::Read(1), 1, 2, 0);
    let new = seen(Call::Read(1), 3, 4, 7);
    assert!(holds(&[write.clone(), old.clone(), new.clone()]));
    let back = seen(Call::Read(1), 5, 6, 0);
    assert!(!holds(&[write.clone(), new.clone(), back]));
    // Another key is another story.
    let other = seen(Call::Read(2), 5, 6, 0);
    assert!(holds(&[write, new, other]));
    assert!(holds(&[]));
}

#[test]
fn a_lost_and_a_stale_answer_are_found_with_their_places() {
    let history = [
        seen(Call::Write(1, 7), 0, 1, 0),
        seen(Call::Read(2), 0, 9, 0),
        seen(Call::Read(1), 2, 3, 7),
        seen(Call::Read(1), 4, 5, 0),
    ];
    let found = linearizable(&Registers, &history);
    let expected = Linearizability::Violated {
        key: 1,
        ordered: 2,
        stuck: vec![3],
    };
    assert_eq!(found, expected);
}

#[test]
fn a_call_without_an_answer_takes_effect_at_any_time_or_never_but_not_before_it_began() {
    let lost = unknown(Call::Write(1, 7), 5);
    let read = |began, value| seen(Call::Read(1), began, began + 1, value);
    assert!(holds(&[lost.clone(), read(6, 0), read(100, 0)]));
    assert!(holds(&[lost.clone(), read(6, 0), read(100, 7)]));
    // Once seen, it stays; and once it is over, it does not come again.
    assert!(!holds(&[lost.clone(), read(6, 7), read(100, 0)]));
    let over = seen(Call::Write(1, 8), 10, 11, 0);
    assert!(!holds(&[lost.clone(), read(6, 7), over, read(100, 7)]));
    assert!(!holds(&[lost, read(1, 7)]));
}

#[test]
fn a_write_that_was_carried_out_twice_is_found() {
    let history = [
        seen(Call::Swap(1, 7), 0, 1, 0),
        seen(Call::Swap(1, 8), 2, 3, 7),
        // The first one once more.
        seen(Call::Swap(1, 9), 4, 5, 7),
    ];
    assert!(!holds(&history));
}

#[test]
fn calls_without_an_answer_chain_up_where_an_answer_asks_for_it() {
    let mut history: Vec<_> = (1..=20)
        .map(|value| unknown(Call::Swap(1, value), 0))
        .collect();
    history.push(seen(Call::Read(1), 1, 2, 17));
    history.push(seen(Call::Read(1), 3, 4, 3));
    history.push(seen(Call::Swap(1, 100), 5, 6, 11));
    history.push(seen(Call::Read(1), 7, 8, 100));
    assert!(holds(&history));
}

#[test]
fn a_search_that_would_be_too_long_is_given_up_and_says_so() {
    // Which of these writes came in which order is told by nobody.
    let mut history: Vec<_> = (1..=24)
        .map(|value| seen(Call::Write(1, value), 0, 100, 0))
        .collect();
    history.push(seen(Call::Read(1), 101, 102, 99));
    let found = within(&Registers, &history, 10_000);
    assert!(
        matches!(found, Linearizability::GaveUp { key: 1, tried } if tried > 10_000),
        "{found:?}"
    );
    // A contradiction elsewhere is still found.
    history.push(seen(Call::Read(2), 0, 1, 5));
    let found = within(&Registers, &history, 10_000);
    assert!(
        matches!(found, Linearizability::Violated { key: 2, .. }),
        "{found:?}"
    );
}

#[test]
fn long_histories_of_few_clients_take_little() {
    let (mut state, mut history) = (0, Vec::new());
    for turn in 0..20_000 {
        // Each overlaps with the next two.
        let call = Call::Swap(1, turn + 1);
        history.push(seen(call, 10 * turn, 10 * turn + 25, state));
        state = turn + 1;
    }
    history.push(seen(Call::Read(1), 300_000, 300_001, state));
    assert_eq!(
        within(&Registers, &history, 200_000),
        Linearizability::Holds
    );
}

/// Tries every order.
fn holds_by_force(history: &[Seen]) -> bool {
    fn go_on(history: &[Seen], done: &mut Vec<bool>, state: u64) -> bool {
        let open = |place: &usize| !done[*place] && history[*place].answer.is_some();
        let ends = (0..history.len()).filter(open);
        let ends = ends.filter_map(|place| history[place].answer.map(|(ended, _)| ended));
        let Some(horizon) = ends.min() else {
            return true;
        };
        for place in 0..history.len() {
            if done[place] || history[place].began > horizon {
                continue;
            }
            let answer = history[place].answer.as_ref().map(|(_, answer)| answer);
            let Some(after) = Registers.step(&state, &history[place].call, answer) else {
                continue;
            };
            done[place] = true;
            let found = go_on(history, done, after);
            done[place] = false;
            if found {
                return true;
            }
        }
        false
    }
    go_on(history, &mut vec![false; history.len()], 0)
}

/// Calls of one register: kind, value, beginning, length, point within it, whether answered.
fn calls(most: usize) -> impl Strategy<Value = Vec<(u8, u64, u64, u64, u64, bool)>> {
    let call = (
        0_u8..3,
        1_u64..4,
        0_u64..40,
        1_u64..20,
        0_u64..20,
        prop::bool::weighted(0.8),
    );
    prop::collection::vec(call, 0..most)
}

/// What a real register answers, where each call happens at its point.
fn played(calls: &[(u8, u64, u64, u64, u64, bool)]) -> Vec<Seen> {
    let mut order: Vec<_> = (0..calls.len()).collect();
    let point = |(_, _, began, length, point, _): &(u8, u64, u64, u64, u64, bool)| {
        began + point.min(length)
    };
    order.sort_by_key(|place| (point(&calls[*place]), *place));
    let mut state = 0;
    let mut history = Vec::new();
    for place in order {
        let (kind, value, began, length, _, is_answered) = calls[place];
        let call = match kind {
            0 => Call::Write(1, value),
            1 => Call::Swap(1, value),
            _ => Call::Read(1),
        };
        let before = state;
        state = Registers
            .step(&state, &call, None)
            .expect("any answer fits");
        history.push(Observed {
            call,
            began: ms(began),
            answer: is_answered.then_some((ms(began + length), before)),
        });
    }
    history
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_a_register_did_always_holds(calls in calls(40)) {
        prop_assert!(holds(&played(&calls)));
    }

    #[test]
    fn the_search_says_what_trying_every_order_says(
        calls in calls(7),
        changed in prop::collection::vec((0_usize..7, 0_u64..4), 0..3),
    ) {
        let mut history = played(&calls);
        for (place, value) in changed {
            let answer = history.get_mut(place).and_then(|seen| seen.answer.as_mut());
            if let Some((_, answer)) = answer {
                *answer = value;
            }
        }
        prop_assert_eq!(holds(&history), holds_by_force(&history), "{:?}", history);
    }
}
