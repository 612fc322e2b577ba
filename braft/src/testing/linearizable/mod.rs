//! Whether a history, of whatever system, could have come from a single copy.
//!
//! | file | what it holds |
//! |---|---|
//! | `mod.rs` | what a caller gives and gets |
//! | `search.rs` | the search for an order, for one key |

mod search;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::time::Duration;

/// What a single copy does, one call after the other.
///
/// # Correctness
/// Calls of different keys must not depend on each other: each key is judged for itself, which is
/// what makes long histories possible (Horn and Kroening, "Faster linearizability checking via
/// P-compositionality", 2015).
pub trait Model {
    /// What clients ask.
    type Call;
    /// What they are told.
    type Answer;
    /// What a call is about. `()` where all calls depend on each other.
    type Key: Ord + Clone + Debug;
    /// The state of one key.
    type State: Clone + Eq + Hash;

    /// What this call is about.
    fn key(&self, call: &Self::Call) -> Self::Key;

    /// The state of a key before all calls.
    fn initial(&self, key: &Self::Key) -> Self::State;

    /// The state after the call; `None` if a single copy in this state would not have given this
    /// answer. Without an answer, the caller never learned it: any will do.
    fn step(
        &self,
        state: &Self::State,
        call: &Self::Call,
        answer: Option<&Self::Answer>,
    ) -> Option<Self::State>;
}

/// A call as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed<C, A> {
    /// What was asked.
    pub call: C,
    /// When, by a clock that all clients share.
    pub began: Duration,
    /// When the answer came, and what it was. Without one the call may have taken effect at any time
    /// since it began, even after the last observation, or never.
    pub answer: Option<(Duration, A)>,
}

/// What [`linearizable`] has found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Linearizability<K> {
    /// There is an order of all calls in which a single copy gives all these answers, and in which
    /// every call lies between its beginning and its end.
    Holds,
    /// There is no such order.
    Violated {
        /// The key whose calls contradict each other.
        key: K,
        /// How many of its answered calls were put in order, in the best attempt.
        ordered: usize,
        /// Places in the history of the calls of which one had to come next, and none could.
        stuck: Vec<usize>,
    },
    /// The search was given up: too many calls at once whose answers say too little, or too many
    /// without an answer. Nothing is said about this key; all others hold.
    GaveUp {
        /// The key.
        key: K,
        /// Situations that were tried.
        tried: usize,
    },
}

/// Searches for an order of the calls that a single copy could have carried out (Herlihy and Wing,
/// "Linearizability", 1990), key by key. A contradiction of any key comes before a search that was
/// given up.
///
/// The time it takes grows with the length of the history and, for each key, exponentially with the
/// number of calls that are under way at once. Calls without an answer are under way for ever; they
/// are tried only where the answers of others ask for them. At most a million situations are kept for
/// each key, each the size of a state and a few words; then the search is given up.
///
/// ```
/// use std::time::Duration;
/// use braft::testing::{Linearizability, Model, Observed, linearizable};
///
/// /// Registers that hold zero at first.
/// struct Registers;
///
/// #[derive(Clone, Copy)]
/// enum Call { Write(&'static str, u64), Read(&'static str) }
///
/// impl Model for Registers {
///     type Call = Call;
///     type Answer = u64;
///     type Key = &'static str;
///     type State = u64;
///     fn key(&self, call: &Call) -> &'static str {
///         match call { Call::Write(name, _) | Call::Read(name) => name }
///     }
///     fn initial(&self, _: &&'static str) -> u64 { 0 }
///     fn step(&self, state: &u64, call: &Call, answer: Option<&u64>) -> Option<u64> {
///         match call {
///             Call::Write(_, value) => Some(*value),
///             Call::Read(_) => answer.is_none_or(|read| read == state).then_some(*state),
///         }
///     }
/// }
///
/// let ms = Duration::from_millis;
/// let write = Observed { call: Call::Write("a", 7), began: ms(0), answer: Some((ms(1), 0)) };
/// let read = |value| Observed { call: Call::Read("a"), began: ms(2), answer: Some((ms(3), value)) };
/// assert_eq!(linearizable(&Registers, &[write.clone(), read(7)]), Linearizability::Holds);
/// // A stale read.
/// let stale = linearizable(&Registers, &[write, read(0)]);
/// assert!(matches!(stale, Linearizability::Violated { key: "a", .. }));
/// ```
pub fn linearizable<M: Model>(
    model: &M,
    history: &[Observed<M::Call, M::Answer>],
) -> Linearizability<M::Key> {
    within(model, history, search::MAX_SITUATIONS)
}

fn within<M: Model>(
    model: &M,
    history: &[Observed<M::Call, M::Answer>],
    situations: usize,
) -> Linearizability<M::Key> {
    let mut keys: BTreeMap<M::Key, Vec<usize>> = BTreeMap::new();
    for (place, observed) in history.iter().enumerate() {
        keys.entry(model.key(&observed.call))
            .or_default()
            .push(place);
    }
    let mut given_up = None;
    for (key, places) in keys {
        match search::Search::new(model, history, &key, &places).run(situations) {
            search::Found::Order => {}
            search::Found::Nothing { ordered, stuck } => {
                return Linearizability::Violated {
                    key,
                    ordered,
                    stuck,
                };
            }
            search::Found::TooMuch { tried } => {
                given_up.get_or_insert(Linearizability::GaveUp { key, tried });
            }
        }
    }
    given_up.unwrap_or(Linearizability::Holds)
}
