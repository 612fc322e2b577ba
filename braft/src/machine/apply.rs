//! Carrying out log entries.

use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

use super::running::Underway;
use super::{Machine, Replica};
use crate::codec;
use crate::context::{LogPosition, RequestId};
use crate::entry::{EntryReader, Item, ReadEntryError};
use crate::error::{Error, ErrorKind, Outcome};
use crate::member::StoredMembers;
use crate::request::Refusal;
use crate::service::Moment;
use crate::session::{Admission, session_id};

/// The answer to each item of one entry, in order.
pub(crate) type Answers = Vec<Result<Bytes, Refusal>>;

/// This replica cannot carry out an entry that others can: it must stop, not skip it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HaltError {
    #[error("log entry {index}: {source}")]
    Unreadable { index: u64, source: ReadEntryError },
    #[error("log entry {index}: {reason}; start a binary that has this service and command")]
    UnknownCommand { index: u64, reason: String },
    #[error("log entry {index}: the settings in it cannot be read: {reason}")]
    UnreadableSettings { index: u64, reason: String },
    #[error(
        "log entry {index}: service {service} is to be woken, and this binary has no `#[timer]` \
         method in it; start a binary that has one"
    )]
    NoTimer { index: u64, service: String },
    #[error(
        "log entry {index}: {what} of service {service} panicked: {panic}; \
         fix it so that it returns an error instead, then start the new binary"
    )]
    Panicked {
        index: u64,
        /// "a command", "the timer".
        what: &'static str,
        service: String,
        panic: String,
    },
}

impl Machine {
    /// Carries out the batch of one log entry.
    pub(crate) fn apply_batch(
        &self,
        (term, index): (u64, u64),
        bytes: Bytes,
    ) -> Result<Answers, HaltError> {
        let mut replica = self.write();
        let underway = self.running.entry(term, index, bytes.clone());
        replica.apply_batch(term, index, bytes, &underway)
    }

    /// Takes note of an entry without commands.
    pub(crate) fn apply_blank(&self, log_id: (u64, u64)) {
        self.write().applied = Some(log_id);
    }

    /// Takes note of a membership entry.
    pub(crate) fn apply_members(&self, log_id: (u64, u64), members: crate::member::Members) {
        let mut replica = self.write();
        let replica = &mut *replica;
        replica
            .removed
            .changed(log_id, replica.clock, &replica.members.members, &members);
        replica.members = StoredMembers {
            log_id: Some(log_id),
            members,
        };
        replica.applied = Some(log_id);
    }
}

impl Replica {
    fn apply_batch(
        &mut self,
        term: u64,
        index: u64,
        bytes: Bytes,
        underway: &Underway<'_>,
    ) -> Result<Answers, HaltError> {
        let unreadable = |source| HaltError::Unreadable { index, source };
        let mut reader = EntryReader::new(bytes).map_err(unreadable)?;
        self.clock = self.clock.max(reader.time);
        self.sessions.evict_expired(self.clock, &self.settings);
        let mut answers = Vec::new();
        let mut position = LogPosition {
            term,
            index,
            ordinal: 0,
        };
        self.run_timers(&mut position, reader.seed, underway)?;
        underway.begin_at(position.ordinal);
        while let Some(item) = reader.next_item().map_err(unreadable)? {
            underway.at(position.ordinal);
            answers.push(self.apply_item(position, reader.seed, item)?);
            position.ordinal += 1;
        }
        self.events.forget_old(self.clock, &self.settings);
        self.applied = Some((term, index));
        Ok(answers)
    }

    fn apply_item(
        &mut self,
        position: LogPosition,
        seed: u64,
        item: Item,
    ) -> Result<Result<Bytes, Refusal>, HaltError> {
        match item {
            Item::Command {
                session,
                sequence,
                responded_to,
                fence,
                service,
                payload,
            } => {
                let request = RequestId { session, sequence };
                match self
                    .sessions
                    .admit(session, sequence, responded_to, self.clock)
                {
                    // After the session's word: what was carried out in its term keeps its answer.
                    Admission::Run if fence.is_some_and(|term| term.get() != position.term) => {
                        Ok(Err(stale_fence(fence, position.term)))
                    }
                    Admission::Run => self.run((position, seed), request, &service, &payload),
                    Admission::Answered(answer) => Ok(Ok(answer)),
                    other => Ok(Err(refusal(&other))),
                }
            }
            Item::OpenSession => Ok(self.open_session(position)),
            Item::CloseSession { session } => {
                self.sessions.close(session);
                Ok(Ok(Bytes::new()))
            }
            Item::SeedSettings { settings } => {
                if !self.seeded {
                    self.settings = codec::decode(&settings).map_err(|error| {
                        HaltError::UnreadableSettings {
                            index: position.index,
                            reason: error.to_string(),
                        }
                    })?;
                    self.seeded = true;
                }
                Ok(Ok(Bytes::new()))
            }
            Item::NoteRemoval { node_id, removal } => {
                self.removed.announce(node_id, removal);
                Ok(Ok(Bytes::new()))
            }
            Item::Tick => Ok(Ok(Bytes::new())),
        }
    }

    fn open_session(&mut self, position: LogPosition) -> Result<Bytes, Refusal> {
        match self.sessions.open(position, self.clock, &self.settings) {
            Some(id) => {
                debug_assert_eq!(id, session_id(position));
                Ok(Bytes::copy_from_slice(&id.to_le_bytes()))
            }
            None => Err(Refusal {
                kind: ErrorKind::Busy,
                outcome: Outcome::NotApplied,
                message: format!(
                    "all {} sessions are in use; close clients or raise max_sessions",
                    self.settings.max_sessions
                ),
                leader: None,
                retry: false,
            }),
        }
    }

    fn run(
        &mut self,
        (position, seed): (LogPosition, u64),
        request: RequestId,
        service: &[u8],
        payload: &[u8],
    ) -> Result<Result<Bytes, Refusal>, HaltError> {
        let name = String::from_utf8_lossy(service);
        let moment = Moment {
            position,
            request: Some(request),
            now: self.clock,
            seed,
            room: self.timers.room(&name),
        };
        let applied = self.run_user_code("a command", position.index, &name, |service| {
            service.apply(moment, payload)
        })?;
        self.take_effects(position.index, &name, applied.effects);
        let limit = self.settings.kept_answer_bytes;
        match applied.answer {
            Ok(answer) => {
                let answer = Bytes::from(answer);
                self.sessions
                    .save(request.session, request.sequence, Some(&answer), limit);
                Ok(Ok(answer))
            }
            Err(error) => {
                self.sessions
                    .save(request.session, request.sequence, None, limit);
                Ok(Err(Refusal {
                    kind: ErrorKind::Rejected,
                    outcome: Outcome::Applied,
                    message: format!("the command was applied, but not answered: {error:?}"),
                    leader: None,
                    retry: false,
                }))
            }
        }
    }
}

fn refusal(admission: &Admission) -> Refusal {
    let (kind, outcome, message) = match admission {
        Admission::Expired => (
            ErrorKind::SessionExpired,
            Outcome::NotApplied,
            "the session has expired: no command arrived for its expiry time, or it was closed",
        ),
        Admission::BeyondWindow => (
            ErrorKind::Busy,
            Outcome::NotApplied,
            "more commands of one session are under way than its window holds; wait for answers",
        ),
        Admission::AnswerDropped | Admission::Run | Admission::Answered(_) => (
            ErrorKind::UnknownOutcome,
            Outcome::Applied,
            "the command was applied once, and its answer is no longer kept",
        ),
    };
    Refusal {
        kind,
        outcome,
        message: message.to_owned(),
        leader: None,
        retry: false,
    }
}

/// The refusal of a command whose fencing number is not the term of its entry.
pub(crate) fn stale_fence(fence: Option<NonZeroU64>, term: u64) -> Refusal {
    let number = fence.map_or(0, NonZeroU64::get);
    Refusal::from(Error::fenced(format!(
        "fencing number {number} belongs to a leadership that is over: the term is {term}; \
         stop what it was given for"
    )))
}

/// Runs user code; a panic becomes its message.
// The state that a panicking command leaves behind is never used again: the replica halts.
pub(super) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "without a message".to_owned())
    })
}

#[cfg(all(test, feature = "macros"))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::distribute::WorkLists;
    use crate::entry::EntryWriter;
    use crate::service::{Service, State, factory};

    fn machine() -> Machine {
        Machine::new(vec![factory::<WorkLists>()]).unwrap()
    }

    /// One item as the entry at this log id; the answer to it.
    fn apply(machine: &Machine, log_id: (u64, u64), item: &Item) -> Result<Bytes, Refusal> {
        let mut entry = EntryWriter::new(Duration::ZERO, 1);
        entry.push(item);
        let mut answers = machine.apply_batch(log_id, entry.finish()).unwrap();
        answers.remove(0)
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
        for (term, fence) in [(3, 2), (3, 4)] {
            let refusal = apply(&machine, (term, 2), &assign(session, 1, fence, "a")).unwrap_err();
            assert_eq!(refusal.kind, ErrorKind::Fenced);
            assert_eq!(refusal.outcome, Outcome::NotApplied);
        }
        assert_eq!(state(&machine), before);
        apply(&machine, (3, 3), &assign(session, 2, 3, "a")).unwrap();
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
}
