//! Carrying out log entries.

use std::ops::RangeBounds;

use bytes::Bytes;

use super::rebuild::{Past, RebuildError, Upto, drop_quietly};
use super::refused::{caught, method_of, refusal, stale_fence, was_refused};
use super::running::Underway;
use super::{Machine, Replica};
use crate::codec;
use crate::context::{LogPosition, RequestId};
use crate::entry::{EntryReader, Item, ReadEntryError};
use crate::error::{ErrorKind, Outcome};
use crate::member::{Members, StoredMembers};
use crate::request::Refusal;
use crate::service::Moment;
use crate::session::{Admission, Place, session_id};
use crate::settings::OnPanic;

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
        "log entry {index}: the state cannot be made anew without the command that panicked there: \
         {source}"
    )]
    NotRebuilt { index: u64, source: RebuildError },
}

/// Why the items of an entry were not carried out to the end.
pub(super) enum Stop {
    Halt(HaltError),
    /// The state is of no use any more.
    Panicked(Panic),
    /// The log says of a command that it had no effect, and here it had one.
    Contradicted(Place),
}

/// A command that panicked.
pub(super) struct Panic {
    pub(super) position: LogPosition,
    pub(super) service: String,
    pub(super) method: String,
    pub(super) message: String,
}

impl From<HaltError> for Stop {
    fn from(error: HaltError) -> Self {
        Stop::Halt(error)
    }
}

impl Machine {
    /// Carries out the batch of one log entry. `None` if this replica carries out nothing any more,
    /// or has gone past the entry already.
    pub(crate) fn apply_batch(
        &self,
        (term, index): (u64, u64),
        bytes: Bytes,
        past: &dyn Past,
    ) -> Result<Option<Answers>, HaltError> {
        let mut replica = self.write();
        if !replica.goes_on_with(index) {
            return Ok(None);
        }
        let underway = self.running.entry(term, index, bytes.clone());
        let mut answers = Answers::new();
        let entry = (term, index, bytes);
        let mut from = 0;
        loop {
            let applied = replica.apply_items(&entry, from.., Some(&underway), &mut answers);
            self.hand_out(&mut replica);
            let Err(stop) = applied else { break };
            let mut answer = Ok(Bytes::new());
            let place = match stop {
                Stop::Halt(error) => return Err(error),
                Stop::Panicked(panic) if replica.settings.on_panic == OnPanic::Halt => {
                    replica.halted = Some(panic.why_halted());
                    return Ok(None);
                }
                Stop::Panicked(panic) => {
                    tracing::error!(
                        "{panic}; it has no effect, and the state is made anew without it"
                    );
                    let place = (index, panic.position.ordinal);
                    replica.keep_text(place, panic.to_string());
                    answer = Err(panic.unconfirmed());
                    place
                }
                Stop::Contradicted(place) => {
                    tracing::warn!(
                        "the command at log index {}, place {}, panicked on other nodes and has no \
                         effect, and here it had one: the state is made anew without it",
                        place.0,
                        place.1
                    );
                    // What was found at a mark in between was of a state that never was.
                    self.digests.send_replace(None);
                    place
                }
            };
            let next = u32::try_from(answers.len()).expect("an entry has few items") + 1;
            let mut left_out = replica.panics.places().clone();
            left_out.insert(place);
            let rebuilt = self.rebuild(past, left_out, Upto::Within(&entry, next));
            let mut rebuilt = rebuilt.map_err(|source| {
                let error = HaltError::NotRebuilt { index, source };
                // Nobody may see what the command has left behind.
                replica.halted = Some(error.to_string());
                error
            })?;
            rebuilt.panic_texts = std::mem::take(&mut replica.panic_texts);
            self.verdicts.send_modify(|count| *count += 1);
            drop_quietly(std::mem::replace(&mut *replica, rebuilt));
            self.note_panics(&replica);
            if !replica.goes_on_with(index) {
                // What was loaded lies behind this entry: what its items were answered is not known.
                return Ok(None);
            }
            answers.push(answer);
            from = next;
        }
        replica.applied = Some((term, index));
        self.note_panics(&replica);
        Ok(Some(answers))
    }

    /// Takes note of an entry without commands.
    pub(crate) fn apply_blank(&self, log_id: (u64, u64)) -> Option<Answers> {
        let mut replica = self.write();
        replica.goes_on_with(log_id.1).then(|| {
            replica.applied = Some(log_id);
            Answers::new()
        })
    }

    /// Takes note of a membership entry.
    pub(crate) fn apply_members(&self, log_id: (u64, u64), members: Members) -> Option<Answers> {
        let mut replica = self.write();
        replica.goes_on_with(log_id.1).then(|| {
            replica.apply_members(log_id, members);
            Answers::new()
        })
    }
}

/// An entry with commands: its term, index and bytes.
pub(super) type Batch = (u64, u64, Bytes);

impl Replica {
    /// Whether the entry at an index is still to be carried out here.
    fn goes_on_with(&self, index: u64) -> bool {
        self.halted.is_none() && self.applied.is_none_or(|(_, applied)| applied < index)
    }

    pub(super) fn apply_members(&mut self, log_id: (u64, u64), members: Members) {
        self.removed
            .changed(log_id, self.clock, &self.members.members, &members);
        self.members = StoredMembers {
            log_id: Some(log_id),
            members,
        };
        self.applied = Some(log_id);
    }

    /// Carries out the items of an entry that stand at these places, and adds their answers.
    pub(super) fn apply_items(
        &mut self,
        (term, index, bytes): &Batch,
        places: impl RangeBounds<u32>,
        underway: Option<&Underway<'_>>,
        answers: &mut Answers,
    ) -> Result<(), Stop> {
        let (term, index) = (*term, *index);
        let unreadable = |source| HaltError::Unreadable { index, source };
        let mut reader = EntryReader::new(bytes.clone()).map_err(unreadable)?;
        if places.contains(&0) {
            self.clock = self.clock.max(reader.time);
            self.sessions.evict_expired(self.clock, &self.settings);
        }
        let mut position = LogPosition {
            term,
            index,
            ordinal: 0,
        };
        while let Some(item) = reader.next_item().map_err(unreadable)? {
            if places.contains(&position.ordinal) {
                if let Some(underway) = underway {
                    underway.at(position.ordinal);
                }
                answers.push(self.apply_item(position, reader.seed, item)?);
            }
            position.ordinal += 1;
        }
        Ok(())
    }

    fn apply_item(
        &mut self,
        position: LogPosition,
        seed: u64,
        item: Item,
    ) -> Result<Result<Bytes, Refusal>, Stop> {
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
                let moment = Moment {
                    position,
                    request: Some(request),
                    now: self.clock,
                    seed,
                };
                match self
                    .sessions
                    .admit(session, sequence, responded_to, self.clock)
                {
                    // After the session's word: what was carried out in its term keeps its answer.
                    Admission::Run if fence.is_some_and(|term| term.get() != position.term) => {
                        Ok(Err(stale_fence(fence, position.term)))
                    }
                    Admission::Run => self.run(moment, request, &service, &payload),
                    Admission::Answered(answer) => Ok(Ok(answer)),
                    Admission::Panicked(place) => {
                        Ok(Err(self.has_panicked(place, &service, &payload)))
                    }
                    Admission::Refused => Ok(Err(was_refused(&service, &payload))),
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
            Item::DigestMark => {
                self.comparison.begin(position.index);
                if self.replay.is_none() {
                    self.taken = Some((position.index, self.digests()));
                }
                Ok(Ok(Bytes::new()))
            }
            Item::DigestReport {
                node_id,
                mark,
                digests,
            } => {
                let text = |part: &Bytes| String::from_utf8_lossy(part).into_owned();
                let digests = digests.iter().map(|(part, digest)| (text(part), *digest));
                let members = &self.members.members;
                let changed = self
                    .comparison
                    .report(node_id, mark, digests.collect(), members);
                self.has_verdict |= changed;
                Ok(Ok(Bytes::new()))
            }
            Item::ClearPanics { service, method } => {
                let text = String::from_utf8_lossy;
                self.panics.clear(&text(&service), &text(&method));
                Ok(Ok(Bytes::new()))
            }
            Item::SkipPanicked { index, ordinal } => {
                let place = (index, ordinal);
                if self.panics.confirm(place) {
                    return Ok(Ok(Bytes::new()));
                }
                Err(Stop::Contradicted(place))
            }
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
                settled: false,
            }),
        }
    }

    fn run(
        &mut self,
        moment: Moment,
        request: RequestId,
        service: &[u8],
        payload: &[u8],
    ) -> Result<Result<Bytes, Refusal>, Stop> {
        let index = moment.position.index;
        let name = String::from_utf8_lossy(service);
        let Some(service) = self.services.get_mut(&*name) else {
            let reason = format!("this binary has no service {name:?}");
            return Err(HaltError::UnknownCommand { index, reason }.into());
        };
        let place = (index, moment.position.ordinal);
        let left_out = self.replay.as_ref();
        if left_out.is_some_and(|left_out| left_out.contains(&place)) {
            let method = method_of(payload);
            self.panics.add(place, &name, &method);
            self.sessions
                .save_panicked(request.session, request.sequence, place);
            return Ok(Err(self.has_panicked(place, name.as_bytes(), payload)));
        }
        if !self.panics.is_empty() && self.panics.refuses(&name, &method_of(payload)) {
            self.sessions
                .save_refused(request.session, request.sequence);
            return Ok(Err(was_refused(name.as_bytes(), payload)));
        }
        let answer = caught(|| service.apply(moment, payload))
            .map_err(|message| {
                Stop::Panicked(Panic {
                    position: moment.position,
                    service: name.into_owned(),
                    method: method_of(payload),
                    message,
                })
            })?
            .map_err(|error| HaltError::UnknownCommand {
                index,
                reason: error.to_string(),
            })?;
        let limit = self.settings.kept_answer_bytes;
        match answer {
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
                    message: format!("applied, but the answer cannot be encoded: {error:?}"),
                    leader: None,
                    retry: false,
                    settled: false,
                }))
            }
        }
    }
}

#[cfg(all(test, feature = "macros"))]
mod tests;
