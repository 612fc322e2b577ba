//! Commands that panicked, and methods that did so too often: replicated, so that every replica
//! leaves out the same commands and refuses the same methods.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::session::Place;

/// Panics of one method after which it is refused until an operator clears it.
pub(super) const STRIKES: u32 = 3;

/// Places of panics kept; beyond it the oldest goes. Those that a state is ever made from again lie
/// behind its last snapshot, and every one of them cost a method one of its few panics.
const MAX_PLACES: usize = 1024;

/// The panics of a cluster's commands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Panics {
    /// Commands without effect.
    places: BTreeSet<Place>,
    /// Those of them that the log does not speak of yet.
    unconfirmed: BTreeSet<Place>,
    /// How often each method of each service has panicked since it was last cleared.
    counts: BTreeMap<String, BTreeMap<String, u32>>,
}

impl Panics {
    /// Takes note of a panic.
    pub(super) fn add(&mut self, place: Place, service: &str, method: &str) {
        self.places.insert(place);
        self.unconfirmed.insert(place);
        for places in [&mut self.places, &mut self.unconfirmed] {
            while places.len() > MAX_PLACES {
                places.pop_first();
            }
        }
        let methods = self.counts.entry(service.to_owned()).or_default();
        let count = methods.entry(method.to_owned()).or_default();
        *count = count.saturating_add(1);
    }

    /// The log says that a command has no effect; false if it had one here.
    pub(super) fn confirm(&mut self, place: Place) -> bool {
        self.unconfirmed.remove(&place);
        self.places.contains(&place)
    }

    /// Whether the log says of a command that it has no effect, or will never have to.
    pub(super) fn is_confirmed(&self, place: Place) -> bool {
        !self.unconfirmed.contains(&place)
    }

    pub(super) fn clear(&mut self, service: &str, method: &str) {
        if let Some(methods) = self.counts.get_mut(service) {
            methods.remove(method);
            if methods.is_empty() {
                self.counts.remove(service);
            }
        }
    }

    /// Whether any method has panicked: until then nobody has to be asked for its name.
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Whether a method panicked too often to be carried out.
    pub(crate) fn refuses(&self, service: &str, method: &str) -> bool {
        let methods = self.counts.get(service);
        methods.and_then(|methods| methods.get(method)) >= Some(&STRIKES)
    }

    pub(super) fn places(&self) -> &BTreeSet<Place> {
        &self.places
    }

    /// The commands without effect that the log does not speak of yet.
    pub(crate) fn unconfirmed(&self) -> impl Iterator<Item = Place> {
        self.unconfirmed.iter().copied()
    }

    /// Service, method and how often it has panicked.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&str, &str, u32)> {
        let services = self.counts.iter();
        services.flat_map(|(service, methods)| {
            let methods = methods.iter();
            methods.map(move |(method, count)| (service.as_str(), method.as_str(), *count))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_refused_from_its_third_panic_until_it_is_cleared() {
        let mut panics = Panics::default();
        for index in 1..=3 {
            assert!(!panics.refuses("Counter", "add"));
            panics.add((index, 0), "Counter", "add");
        }
        assert!(panics.refuses("Counter", "add"));
        assert!(!panics.refuses("Counter", "sub") && !panics.refuses("Other", "add"));
        panics.clear("Counter", "add");
        assert!(panics.is_empty() && !panics.refuses("Counter", "add"));
        assert_eq!(panics.places().len(), 3);
    }

    #[test]
    fn the_log_confirms_what_panicked_here_and_contradicts_what_did_not() {
        let mut panics = Panics::default();
        panics.add((7, 2), "Counter", "add");
        assert_eq!(panics.unconfirmed().collect::<Vec<_>>(), [(7, 2)]);
        assert!(panics.confirm((7, 2)));
        assert_eq!(panics.unconfirmed().count(), 0);
        assert!(!panics.confirm((7, 3)));
    }

    #[test]
    fn the_record_is_bounded_and_survives_a_snapshot() {
        let mut panics = Panics::default();
        for index in 0..2 * MAX_PLACES as u64 {
            panics.add((index, 1), "Counter", "add");
        }
        assert_eq!(panics.places().len(), MAX_PLACES);
        let bytes = crate::codec::encode(&panics).unwrap();
        assert_eq!(crate::codec::decode::<Panics>(&bytes).unwrap(), panics);
    }
}
