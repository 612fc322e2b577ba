//! The same three, each broken in a way that a snapshot brings to light.

use std::collections::BTreeMap;

use braft::raft_service;
use braft::testing::{Check, check};
use serde::{Deserialize, Serialize};

/// Remembers its last step outside of what is saved.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Forgetful {
    value: u64,
    step: Unsaved,
}

/// A number that is written as nothing.
#[derive(Default)]
pub struct Unsaved(pub u64);

impl Serialize for Unsaved {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(0)
    }
}

impl<'de> Deserialize<'de> for Unsaved {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Unsaved)
    }
}

#[raft_service]
impl Forgetful {
    pub fn set_step(&mut self, step: u64) {
        self.step = Unsaved(step);
    }

    pub fn advance(&mut self) -> u64 {
        self.value = self.value.wrapping_add(self.step.0);
        self.value
    }
}

/// A map that gives its entries in the order in which they came, and saves them sorted.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Unordered {
    entries: InOrderOfArrival,
}

#[derive(Default)]
pub struct InOrderOfArrival(Vec<(String, u8)>);

impl Serialize for InOrderOfArrival {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0
            .iter()
            .cloned()
            .collect::<BTreeMap<_, _>>()
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for InOrderOfArrival {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sorted = BTreeMap::deserialize(deserializer)?;
        Ok(InOrderOfArrival(sorted.into_iter().collect()))
    }
}

#[raft_service]
impl Unordered {
    pub fn insert(&mut self, key: String, value: u8) {
        self.entries.0.retain(|(known, _)| *known != key);
        self.entries.0.push((key, value));
    }

    pub fn keys(&self) -> Vec<String> {
        self.entries.0.iter().map(|(key, _)| key.clone()).collect()
    }
}

/// A lock that panics when it is released by one who does not hold it.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Lock {
    holder: Option<u8>,
}

#[raft_service]
impl Lock {
    pub fn acquire(&mut self, who: u8) -> bool {
        let free = self.holder.is_none();
        self.holder.get_or_insert(who);
        free
    }

    pub fn release(&mut self, who: u8) {
        assert_eq!(self.holder.take(), Some(who), "released by a stranger");
    }
}

/// The text of the failure.
fn failure<S: braft::Service>(checked: Check<S>) -> String {
    match checked.without_cluster() {
        Ok(()) => panic!("the broken service passed"),
        Err(error) => error.to_string(),
    }
}

/// The steps of the timeline.
fn steps(text: &str) -> usize {
    let is_step = |line: &&str| line.contains("  command  ") || line.contains("  query    ");
    text.lines().filter(is_step).count()
}

#[test]
fn a_field_that_is_not_saved_is_caught() {
    let text = failure(check::<Forgetful>());
    assert!(
        text.contains("differs once the state was saved and loaded"),
        "{text}"
    );
    assert!(
        text.contains("seed 1") && text.contains("\"advance\""),
        "{text}"
    );
    // Set the step, then take it: nothing else belongs to the story.
    assert_eq!(steps(&text), 2, "{text}");
}

#[test]
fn an_order_that_depends_on_history_is_caught() {
    let text = failure(check::<Unordered>());
    assert!(text.contains("the answer differs"), "{text}");
    assert_eq!(steps(&text), 3, "{text}");
}

#[test]
fn a_command_that_panics_is_caught_with_its_arguments() {
    let text = failure(check::<Lock>());
    assert!(text.contains("released by a stranger"), "{text}");
    assert_eq!(steps(&text), 1, "{text}");
}

#[test]
fn the_seed_of_a_failure_fails_again() {
    let again = failure(check::<Forgetful>().first_seed(1).seeds(1));
    let first = failure(check::<Forgetful>());
    assert_eq!(again.lines().next(), first.lines().next());
}
