//! Carrying out log entries.

use std::ops::RangeBounds;
use std::time::SystemTime;

use bytes::Bytes;

use super::rebuild::{Past, RebuildError, Upto, drop_quietly};
use super::refused::{method_of, refusal, stale_fence, was_refused};
use super::running::Underway;
use super::step::Step;
use super::{Machine, Replica};
use crate::codec;
use crate::context::{LogPosition, RequestId};
use crate::entry::{EntryReader, Item, ReadEntryError};
use crate::error::{Error, ErrorKind, Outcome};
use crate::keys::{no_room, reused};
use crate::member::{Members, StoredMembers};
use crate::planted::{self, Bug};
use crate::request::Refusal;
use crate::service::Moment;
use crate::session::{Admission, Place, session_id};
use crate::settings::OnPanic;
use crate::world;

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
    #[error("log entry {index}: {reason}")]
    Activation { index: u64, reason: String },
    #[error(
        "log entry {index}: service {service} is to be woken, and this binary has no `#[timer]` \
         method in it; start a binary that has one"
    )]
    NoTimer { index: u64, service: String },
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
    /// The log says of a command or a timer that it had no effect, and here it had one.
    Contradicted(Place),
}

/// A command or a timer that panicked.
pub(super) struct Panic {
    /// "command", "timer".
    pub(super) what: &'static str,
    pub(super) step: Step,
    pub(super) position: LogPosition,
    pub(super) service: String,
    pub(super) method: String,
    pub(super) message: String,
}

impl Panic {
    pub(super) fn place(&self) -> Place {
        self.step.place(self.position.index)
    }
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
        let mut from = Step::FIRST;
        loop {
            let applied = replica.apply_items(&entry, from.., Some(&underway), &mut answers);
            self.hand_out(&mut replica);
            let Err(stop) = applied else { break };
            let item = u32::try_from(answers.len()).expect("an entry has few items");
            let (place, next, answer) = match stop {
                Stop::Halt(error) => return Err(error),
                Stop::Panicked(panic) if replica.settings.on_panic == OnPanic::Halt => {
                    replica.halted = Some(panic.why_halted());
                    return Ok(None);
                }
                Stop::Panicked(panic) => {
                    tracing::error!(
                        "{panic}; it has no effect, and the state is made anew without it"
                    );
                    let place = panic.place();
                    replica.keep_text(place, panic.to_string());
                    let is_item = matches!(panic.step, Step::Item(_));
                    let answer = is_item.then(|| Err(panic.unconfirmed()));
                    (place, panic.step.next(), answer)
                }
                Stop::Contradicted(place) => {
                    tracing::warn!(
                        "what stands at log index {}, place {}, panicked on other nodes and has no \
                         effect, and here it had one: the state is made anew without it",
                        place.0,
                        place.1
                    );
                    // What was found at a mark in between was of a state that never was.
                    self.digests.send_replace(None);
                    (place, Step::Item(item).next(), Some(Ok(Bytes::new())))
                }
            };
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
            self.renew_door(&replica);
            self.note_panics(&replica);
            if !replica.goes_on_with(index) {
                // What was loaded lies behind this entry: what its items were answered is not known.
                return Ok(None);
            }
            answers.extend(answer);
            from = next;
        }
        replica.end_batch((term, index));
        if std::mem::take(&mut replica.activated) {
            self.renew_door(&replica);
        }
        replica.tell_applied((term, index), &entry.2);
        self.note_panics(&replica);
        Ok(Some(answers))
    }

    /// Takes note of an entry without commands.
    pub(crate) fn apply_blank(&self, log_id: (u64, u64)) -> Option<Answers> {
        let mut replica = self.write();
        replica.goes_on_with(log_id.1).then(|| {
            replica.applied = Some(log_id);
            replica.tell_applied(log_id, &[]);
            Answers::new()
        })
    }

    /// Takes note of a membership entry.
    pub(crate) fn apply_members(&self, log_id: (u64, u64), members: Members) -> Option<Answers> {
        let mut replica = self.write();
        replica.goes_on_with(log_id.1).then(|| {
            replica.apply_members(log_id, members);
            replica.tell_applied(log_id, &[]);
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

    fn tell_applied(&self, log_id: (u64, u64), entry: &[u8]) {
        let active = |service: &str| self.active(service);
        self.watch.applied(log_id, entry, self.clock, &active);
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

    /// Takes note that a batch was carried out to its end.
    pub(super) fn end_batch(&mut self, log_id: (u64, u64)) {
        self.events.forget_old(self.clock, &self.settings);
        self.applied = Some(log_id);
    }

    /// Carries out these steps of an entry, and adds the answers of its items.
    pub(super) fn apply_items(
        &mut self,
        (term, index, bytes): &Batch,
        steps: impl RangeBounds<Step>,
        underway: Option<&Underway<'_>>,
        answers: &mut Answers,
    ) -> Result<(), Stop> {
        let (term, index) = (*term, *index);
        let unreadable = |source| HaltError::Unreadable { index, source };
        let mut reader = EntryReader::new(bytes.clone()).map_err(unreadable)?;
        if steps.contains(&Step::FIRST) {
            self.clock = self.clock.max(reader.time);
            if planted::is(Bug::ClockInApply) {
                let own = world::wall_clock().duration_since(SystemTime::UNIX_EPOCH);
                self.clock = self.clock.max(own.unwrap_or_default());
            }
            self.sessions.evict_expired(self.clock, &self.settings);
            self.keys.forget_old(self.clock, &self.settings);
            self.find_due();
        }
        let mut position = LogPosition {
            term,
            index,
            ordinal: 0,
        };
        self.run_timers(&mut position, reader.seed, &steps, underway)?;
        if let Some(underway) = underway {
            underway.begin_at(position.ordinal);
        }
        let mut step = Step::Item(0);
        while let Some(item) = reader.next_item().map_err(unreadable)? {
            if steps.contains(&step) {
                if let Some(underway) = underway {
                    underway.at(position.ordinal);
                }
                answers.push(self.apply_item((step, position), reader.seed, item)?);
            }
            position.ordinal += 1;
            step = step.next();
        }
        Ok(())
    }

    fn apply_item(
        &mut self,
        (step, position): (Step, LogPosition),
        seed: u64,
        item: Item,
    ) -> Result<Result<Bytes, Refusal>, Stop> {
        match item {
            Item::Command {
                session,
                sequence,
                responded_to,
                fence,
                key,
                service,
                payload,
            } => {
                let request = RequestId { session, sequence };
                tracing::trace!(%position, session, sequence, "a command is carried out");
                match self
                    .sessions
                    .admit(session, sequence, responded_to, self.clock)
                {
                    // After the session's word: what was carried out in its term keeps its answer.
                    Admission::Run if fence.is_some_and(|term| term.get() != position.term) => {
                        Ok(Err(stale_fence(fence, position.term)))
                    }
                    Admission::Run => {
                        let call = (&*service, &*payload);
                        match &key {
                            None => self.run((step, position), seed, request, call),
                            Some(key) => self.run_keyed((step, position), seed, request, call, key),
                        }
                    }
                    Admission::Answered(_) if planted::is(Bug::ApplyTwice) => {
                        self.run((step, position), seed, request, (&service, &payload))
                    }
                    Admission::Answered(answer) => Ok(Ok(answer)),
                    Admission::Panicked(place) => {
                        Ok(Err(self.has_panicked(place, &service, &payload)))
                    }
                    Admission::Refused => Ok(Err(was_refused(&service, &payload))),
                    Admission::KeyReused => Ok(Err(reused())),
                    Admission::NoRoomForKey => Ok(Err(no_room(&self.settings))),
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
                    self.sessions.settings_changed();
                }
                Ok(Ok(Bytes::new()))
            }
            Item::NoteRemoval { node_id, removal } => {
                self.removed.announce(node_id, removal);
                Ok(Ok(Bytes::new()))
            }
            Item::Tick => Ok(Ok(Bytes::new())),
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
            Item::ActivateVersions { versions } => {
                self.activate(position.index, &versions)?;
                Ok(Ok(Bytes::new()))
            }
            Item::ChangeSettings { changes } => {
                // What one replica cannot read, another of another build may: no answer, a halt.
                let changed = self.settings.changed(&changes).map_err(|reason| {
                    HaltError::UnreadableSettings {
                        index: position.index,
                        reason,
                    }
                })?;
                self.settings = changed;
                self.sessions.settings_changed();
                Ok(Ok(Bytes::new()))
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

    pub(super) fn run(
        &mut self,
        (step, position): (Step, LogPosition),
        seed: u64,
        request: RequestId,
        (service, payload): (&[u8], &[u8]),
    ) -> Result<Result<Bytes, Refusal>, Stop> {
        let name = String::from_utf8_lossy(service);
        let place = step.place(position.index);
        if self.leaves_out(place) {
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
        let moment = Moment {
            position,
            request: Some(request),
            now: self.clock,
            seed,
            room: self.timers.room(&name),
        };
        let applied = self.run_user_code(
            (step, position),
            &name,
            // Proposed before a version was active that removed it: all replicas refuse it alike.
            |service| match service.refusal(payload) {
                Some(text) => Ok(Err(text)),
                None => service.apply(moment, payload).map(Ok),
            },
            || ("command", method_of(payload)),
        )?;
        let applied = match applied {
            Ok(applied) => applied,
            Err(text) => return Ok(Err(Error::rejected(text).into())),
        };
        self.take_effects(position.index, &name, applied.effects);
        let limit = self.settings.kept_answer_bytes;
        let version = || self.active(&name);
        match applied.answer {
            Ok(answer) => {
                let answer = Bytes::from(answer);
                self.watch
                    .ran(&moment, (&name, version), Some(payload), Some(&answer));
                self.sessions
                    .save(request.session, request.sequence, Some(&answer), limit);
                Ok(Ok(answer))
            }
            Err(error) => {
                self.watch
                    .ran(&moment, (&name, version), Some(payload), None);
                self.sessions
                    .save(request.session, request.sequence, None, limit);
                Ok(Err(Refusal {
                    kind: ErrorKind::Rejected,
                    outcome: Outcome::Applied,
                    message: format!("the command was applied, but not answered: {error:?}"),
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
