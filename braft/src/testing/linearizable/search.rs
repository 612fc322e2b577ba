//! The search for an order of the calls of one key: depth first, and no situation twice (Wing and
//! Gong, "Testing and verifying concurrent objects", 1993; Lowe, "Testing for linearizability", 2017).
//!
//! A situation is which calls were put in order, and the state then. All answered calls before the
//! first open one are in it, so a few numbers name the rest: the window.

use std::collections::HashSet;
use std::time::Duration;

use super::{Model, Observed};

/// Situations that are remembered at most.
pub(super) const MAX_SITUATIONS: usize = 1_000_000;
/// Numbers of calls that the situations hold at most, all together: 128 MiB.
const MAX_NUMBERS: usize = 32 << 20;

/// What was found.
pub(super) enum Found {
    Order,
    Nothing { ordered: usize, stuck: Vec<usize> },
    TooMuch { tried: usize },
}

/// A call with an answer.
struct Answered {
    place: usize,
    began: Duration,
    ended: Duration,
    ordered: bool,
}

/// A call without one.
struct Unanswered {
    place: usize,
    began: Duration,
    ordered: bool,
}

/// One call put next: its number among those of its kind.
#[derive(Clone, Copy)]
enum Next {
    Answered(usize),
    Unanswered(usize),
}

#[derive(PartialEq, Eq, Hash)]
struct Situation<S> {
    /// The first answered call that is not in order yet.
    first: usize,
    /// Answered ones behind it that are.
    beyond: Box<[u32]>,
    unanswered: Box<[u32]>,
    state: S,
}

/// A place in the search.
struct Frame<S> {
    state: S,
    /// What led here; `None` at the start.
    by: Option<Next>,
    /// What is still to be tried from here, the best one last.
    untried: Vec<Next>,
    /// Whether calls without an answer were taken into account: only once the others came to nothing.
    is_late: bool,
}

pub(super) struct Search<'a, M: Model> {
    model: &'a M,
    history: &'a [Observed<M::Call, M::Answer>],
    answered: Vec<Answered>,
    unanswered: Vec<Unanswered>,
    initial: M::State,
    /// As in [`Situation`].
    first: usize,
    ordered: usize,
    seen: HashSet<Situation<M::State>>,
    numbers: usize,
}

impl<'a, M: Model> Search<'a, M> {
    pub(super) fn new(
        model: &'a M,
        history: &'a [Observed<M::Call, M::Answer>],
        key: &M::Key,
        places: &[usize],
    ) -> Self {
        let (mut answered, mut unanswered) = (Vec::new(), Vec::new());
        for place in places.iter().copied() {
            let began = history[place].began;
            let ordered = false;
            match &history[place].answer {
                Some((ended, _)) => answered.push(Answered {
                    place,
                    began,
                    ended: *ended,
                    ordered,
                }),
                None => unanswered.push(Unanswered {
                    place,
                    began,
                    ordered,
                }),
            }
        }
        answered.sort_by_key(|call| call.began);
        unanswered.sort_by_key(|call| call.began);
        Search {
            model,
            history,
            answered,
            unanswered,
            initial: model.initial(key),
            first: 0,
            ordered: 0,
            seen: HashSet::new(),
            numbers: 0,
        }
    }

    pub(super) fn run(mut self, max_situations: usize) -> Found {
        if self.answered.is_empty() {
            return Found::Order;
        }
        let (mut best, mut stuck) = (0, self.places(&self.open()));
        let mut stack = vec![self.frame(self.initial.clone(), None)];
        while let Some(frame) = stack.last_mut() {
            let Some(next) = frame.untried.pop() else {
                if !frame.is_late {
                    frame.is_late = true;
                    frame.untried = self.late(&frame.state);
                    continue;
                }
                let by = frame.by;
                stack.pop();
                if let Some(by) = by {
                    self.take_back(by);
                }
                continue;
            };
            let Some(state) = self.step(&frame.state, next) else {
                continue;
            };
            self.put(next);
            if self.ordered == self.answered.len() {
                return Found::Order;
            }
            if self.ordered > best {
                (best, stuck) = (self.ordered, self.places(&self.open()));
            }
            if !self.is_new(&state) {
                self.take_back(next);
                continue;
            }
            if self.seen.len() > max_situations || self.numbers > MAX_NUMBERS {
                let tried = self.seen.len();
                return Found::TooMuch { tried };
            }
            let frame = self.frame(state, Some(next));
            stack.push(frame);
        }
        Found::Nothing {
            ordered: best,
            stuck,
        }
    }

    fn frame(&self, state: M::State, by: Option<Next>) -> Frame<M::State> {
        let mut open = self.open();
        // The one that ends first is the one that has to be in order first.
        open.sort_by_key(|number| std::cmp::Reverse(self.answered[*number].ended));
        Frame {
            state,
            by,
            untried: open.into_iter().map(Next::Answered).collect(),
            is_late: false,
        }
    }

    fn places(&self, open: &[usize]) -> Vec<usize> {
        let places = open.iter().map(|number| self.answered[*number].place);
        places.collect()
    }

    /// When the first open call ends; what began later comes behind it.
    fn horizon(&self) -> Duration {
        let mut horizon = Duration::MAX;
        for call in &self.answered[self.first..] {
            if call.began > horizon {
                break;
            }
            if !call.ordered {
                horizon = horizon.min(call.ended);
            }
        }
        horizon
    }

    /// The answered calls that may come next.
    fn open(&self) -> Vec<usize> {
        let horizon = self.horizon();
        let calls = self.answered.iter().enumerate().skip(self.first);
        let near = calls.take_while(|(_, call)| call.began <= horizon);
        let open = near.filter(|(_, call)| !call.ordered);
        open.map(|(number, _)| number).collect()
    }

    /// The calls without an answer that may come next and change something; last those after which
    /// an answered call may follow that may not now.
    fn late(&self, state: &M::State) -> Vec<Next> {
        let horizon = self.horizon();
        let blocked: Vec<_> = self.open();
        let (mut helping, mut others) = (Vec::new(), Vec::new());
        let calls = self.unanswered.iter().enumerate();
        for (number, call) in calls.take_while(|(_, call)| call.began <= horizon) {
            if call.ordered {
                continue;
            }
            let next = Next::Unanswered(number);
            let Some(after) = self.step(state, next) else {
                continue;
            };
            if after == *state {
                continue;
            }
            let mut blocked = blocked.iter().copied().map(Next::Answered);
            let helps = blocked
                .any(|next| self.step(state, next).is_none() && self.step(&after, next).is_some());
            if helps {
                helping.push(next);
            } else {
                others.push(next);
            }
        }
        others.append(&mut helping);
        others
    }

    fn step(&self, state: &M::State, next: Next) -> Option<M::State> {
        let place = match next {
            Next::Answered(number) => self.answered[number].place,
            Next::Unanswered(number) => self.unanswered[number].place,
        };
        let observed = &self.history[place];
        let answer = observed.answer.as_ref().map(|(_, answer)| answer);
        self.model.step(state, &observed.call, answer)
    }

    fn put(&mut self, next: Next) {
        match next {
            Next::Answered(number) => {
                self.answered[number].ordered = true;
                self.ordered += 1;
                while self
                    .answered
                    .get(self.first)
                    .is_some_and(|call| call.ordered)
                {
                    self.first += 1;
                }
            }
            Next::Unanswered(number) => self.unanswered[number].ordered = true,
        }
    }

    fn take_back(&mut self, next: Next) {
        match next {
            Next::Answered(number) => {
                self.answered[number].ordered = false;
                self.ordered -= 1;
                self.first = self.first.min(number);
            }
            Next::Unanswered(number) => self.unanswered[number].ordered = false,
        }
    }

    /// Remembers the present situation; whether it is seen for the first time.
    fn is_new(&mut self, state: &M::State) -> bool {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let missing = self.ordered - self.first;
        let calls = self.answered.iter().enumerate().skip(self.first);
        let beyond = calls.filter(|(_, call)| call.ordered).take(missing);
        let beyond: Box<[u32]> = beyond.map(|(at, _)| number(at)).collect();
        let unanswered = self.unanswered.iter().enumerate();
        let unanswered = unanswered.filter(|(_, call)| call.ordered);
        let unanswered: Box<[u32]> = unanswered.map(|(at, _)| number(at)).collect();
        let size = beyond.len() + unanswered.len();
        let is_new = self.seen.insert(Situation {
            first: self.first,
            beyond,
            unanswered,
            state: state.clone(),
        });
        if is_new {
            self.numbers += size;
        }
        is_new
    }
}
