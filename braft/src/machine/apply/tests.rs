//! Commands, sessions and fencing numbers as entries carry them out.

use std::num::NonZeroU64;
use std::time::Duration;

use super::*;
use crate::distribute::WorkLists;
use crate::entry::EntryWriter;
use crate::machine::Watch;
use crate::machine::rebuild::NoPast;
use crate::service::{Service, State, factory};

fn machine() -> Machine {
    Machine::new(vec![factory::<WorkLists>()], Watch::default()).unwrap()
}

/// One item as the entry at this log id; the answer to it.
fn apply(machine: &Machine, log_id: (u64, u64), item: &Item) -> Result<Bytes, Refusal> {
    let mut entry = EntryWriter::new(Duration::ZERO, 1);
    entry.push(item);
    let answers = machine.apply_batch(log_id, entry.finish(), &NoPast);
    answers.unwrap().unwrap().remove(0)
}

fn assign(session: u64, sequence: u64, fence: u64, member: &str) -> Item {
    type Command = <WorkLists as Service>::Command;
    let command = Command::assign_to {
        members: vec![member.to_owned()],
    };
    Item::Command {
        session,
        sequence,
        responded_to: 0,
        fence: NonZeroU64::new(fence),
        key: None,
        service: Bytes::from_static(WorkLists::NAME.as_bytes()),
        payload: codec::encode(&command).unwrap().into(),
    }
}

fn state(machine: &Machine) -> Vec<u8> {
    let mut bytes = Vec::new();
    let replica = machine.read();
    replica.services[WorkLists::NAME].save(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_command_in_an_entry_of_another_term_than_its_fence_has_no_effect() {
    let machine = machine();
    let id = apply(&machine, (3, 1), &Item::OpenSession).unwrap();
    let session = u64::from_le_bytes(id[..].try_into().unwrap());
    let before = state(&machine);
    for (index, fence) in [(2, 2), (3, 4)] {
        let refusal = apply(&machine, (3, index), &assign(session, 1, fence, "a")).unwrap_err();
        assert_eq!(refusal.kind, ErrorKind::Fenced);
        assert_eq!(refusal.outcome, Outcome::NotApplied);
    }
    assert_eq!(state(&machine), before);
    apply(&machine, (3, 4), &assign(session, 2, 3, "a")).unwrap();
    assert_ne!(state(&machine), before);
}

#[test]
fn what_was_carried_out_in_its_term_keeps_its_answer_in_a_later_one() {
    let machine = machine();
    let id = apply(&machine, (3, 1), &Item::OpenSession).unwrap();
    let session = u64::from_le_bytes(id[..].try_into().unwrap());
    let command = assign(session, 1, 3, "a");
    let first = apply(&machine, (3, 2), &command).unwrap();
    // The answer was lost with the leader, and the client asks the next one.
    assert_eq!(apply(&machine, (4, 3), &command).unwrap(), first);
}

#[test]
fn a_change_of_settings_that_cannot_be_read_halts_the_replica() {
    let machine = machine();
    let change = |changes: &'static [u8]| Item::ChangeSettings {
        changes: Bytes::from_static(changes),
    };
    apply(&machine, (1, 1), &change(br#"{"max_sessions":9}"#)).unwrap();
    assert_eq!(machine.read().settings().max_sessions, 9);
    let mut entry = EntryWriter::new(Duration::ZERO, 1);
    entry.push(&change(br#"{"of_a_later_version":9}"#));
    let halted = machine.apply_batch((1, 2), entry.finish(), &NoPast);
    assert!(matches!(
        halted,
        Err(HaltError::UnreadableSettings { index: 2, .. })
    ));
}
