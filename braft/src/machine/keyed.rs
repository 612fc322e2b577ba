//! Commands with an idempotency key.

use bytes::Bytes;

use super::Replica;
use super::apply::Stop;
use super::refused::refusal;
use super::step::Step;
use crate::context::{LogPosition, RequestId};
use crate::error::Outcome;
use crate::keys::{KeyOutcome, Known, no_room, reused};
use crate::request::Refusal;
use crate::session::Admission;

impl Replica {
    /// Carries out a command that its session lets run, unless its key has an outcome.
    pub(super) fn run_keyed(
        &mut self,
        (step, position): (Step, LogPosition),
        seed: u64,
        request: RequestId,
        call: (&[u8], &[u8]),
        key: &[u8],
    ) -> Result<Result<Bytes, Refusal>, Stop> {
        let RequestId { session, sequence } = request;
        let outcome = match self.keys.find(key, call, &self.settings) {
            Known::New => {
                let ran = self.run((step, position), seed, request, call)?;
                let place = step.place(position.index);
                let outcome = match &ran {
                    Ok(answer) => Some(KeyOutcome::Answered(answer.clone())),
                    Err(_) if self.leaves_out(place) => Some(KeyOutcome::panicked(place)),
                    Err(refusal) if refusal.outcome == Outcome::Applied => {
                        Some(KeyOutcome::AnswerDropped)
                    }
                    // Without effect, for a reason that may pass.
                    Err(_) => None,
                };
                if let Some(outcome) = outcome {
                    self.keys.save(key, call, self.clock, outcome);
                }
                return Ok(ran);
            }
            Known::NoRoom => {
                // For good: a further attempt might be on its way when the caller's time is up.
                self.sessions.save_no_room_for_key(session, sequence);
                return Ok(Err(no_room(&self.settings)));
            }
            Known::OfAnother => {
                self.sessions.save_key_reused(session, sequence);
                return Ok(Err(reused()));
            }
            Known::Outcome(outcome) => outcome,
        };
        // Settled in the session as well: a late duplicate may come when the key is forgotten.
        let limit = self.settings.kept_answer_bytes;
        Ok(match outcome {
            KeyOutcome::Answered(answer) => {
                self.sessions.save(session, sequence, Some(&answer), limit);
                Ok(answer)
            }
            KeyOutcome::AnswerDropped => {
                self.sessions.save(session, sequence, None, limit);
                Err(refusal(&Admission::AnswerDropped))
            }
            KeyOutcome::Panicked { index, ordinal } => {
                let place = (index, ordinal);
                self.sessions.save_panicked(session, sequence, place);
                Err(self.has_panicked(place, call.0, call.1))
            }
        })
    }
}

#[cfg(all(test, feature = "macros"))]
mod tests {
    use std::time::Duration;

    use serde::{Deserialize, Serialize};

    use super::super::rebuild::NoPast;
    use super::super::{Machine, Watch};
    use super::*;
    use crate::codec;
    use crate::entry::{EntryWriter, Item};
    use crate::error::ErrorKind;
    use crate::raft_service;
    use crate::service::{Service, factory};
    use crate::settings::Settings;

    #[raft_service(crate = crate)]
    #[derive(Default, Serialize, Deserialize)]
    struct Sum {
        sum: u64,
    }

    #[raft_service(crate = crate)]
    impl Sum {
        fn add(&mut self, by: u64) -> u64 {
            self.sum += by;
            self.sum
        }
    }

    type Command = <Sum as Service>::Command;

    const SESSION: u64 = 1 << 16;
    const EXPIRY: Duration = Duration::from_secs(60);

    struct Log {
        machine: Machine,
        index: u64,
        now: Duration,
    }

    impl Log {
        /// With a session that outlives keys by far.
        fn new() -> Self {
            let mut log = Log {
                machine: Machine::new(vec![factory::<Sum>()], Watch::default()).unwrap(),
                index: 0,
                now: Duration::from_secs(1_000),
            };
            log.apply(&Item::OpenSession).unwrap();
            let settings = Settings {
                key_expiry_ms: EXPIRY.as_millis() as u64,
                ..Settings::default()
            };
            let settings = codec::encode(&settings).unwrap().into();
            log.apply(&Item::SeedSettings { settings }).unwrap();
            log
        }

        fn apply(&mut self, item: &Item) -> Result<Bytes, Refusal> {
            self.index += 1;
            let mut entry = EntryWriter::new(self.now, 1);
            entry.push(item);
            let answers = self
                .machine
                .apply_batch((1, self.index), entry.finish(), &NoPast);
            answers.unwrap().expect("it goes on").remove(0)
        }

        /// Adds under a key, as this command of the session.
        fn add(&mut self, sequence: u64, key: &'static str, by: u64) -> Result<u64, ErrorKind> {
            let answer = self.apply(&Item::Command {
                session: SESSION,
                sequence,
                responded_to: 0,
                fence: None,
                key: Some(Bytes::from_static(key.as_bytes())),
                service: Bytes::from_static(b"Sum"),
                payload: codec::encode(&Command::add { by }).unwrap().into(),
            });
            match answer {
                Ok(answer) => Ok(codec::decode(&answer).unwrap()),
                Err(refusal) => Err(refusal.kind),
            }
        }
    }

    #[test]
    fn late_duplicates_have_no_effect_even_after_the_key_is_forgotten() {
        let mut log = Log::new();
        assert_eq!(log.add(1, "a", 2), Ok(2));
        // Another request under the key, and one that is refused for it.
        assert_eq!(log.add(2, "a", 2), Ok(2));
        assert_eq!(log.add(3, "a", 5), Err(ErrorKind::KeyReused));
        log.now += EXPIRY;
        assert_eq!(log.add(1, "a", 2), Ok(2));
        assert_eq!(log.add(2, "a", 2), Ok(2));
        assert_eq!(log.add(3, "a", 5), Err(ErrorKind::KeyReused));
        // A new request is one of a new key by then.
        assert_eq!(log.add(4, "a", 5), Ok(7));
    }

    #[test]
    fn a_replica_from_a_snapshot_knows_the_keys() {
        let mut log = Log::new();
        assert_eq!(log.add(1, "a", 2), Ok(2));
        let keys = codec::encode(&log.machine.read().keys).unwrap();
        let header = log.machine.read().snapshot_header(1, 1);
        let other = Machine::new(vec![factory::<Sum>()], Watch::default()).unwrap();
        let mut loading = other.load(header).unwrap();
        let sessions = codec::encode(&log.machine.read().sessions).unwrap();
        let mut state = Vec::new();
        log.machine.read().services["Sum"].save(&mut state).unwrap();
        loading.section("sessions", &mut &*sessions).unwrap();
        loading.section("keys", &mut &*keys).unwrap();
        loading.section("service/Sum", &mut &*state).unwrap();
        other.replace(loading.finish(1).unwrap());
        let digests = (log.machine.read().digests(), other.read().digests());
        assert_eq!(digests.0, digests.1);
        assert!(digests.0.keys().any(|part| part.starts_with("(keys)")));
        log.machine = other;
        assert_eq!(log.add(2, "a", 2), Ok(2));
        assert_eq!(log.add(3, "b", 2), Ok(4));
    }

    #[test]
    fn a_command_without_room_for_its_key_never_runs() {
        let mut log = Log::new();
        let mut settings = log.machine.read().settings().clone();
        settings.max_keys = 1;
        log.machine.write().settings = settings;
        assert_eq!(log.add(1, "a", 2), Ok(2));
        assert_eq!(log.add(2, "b", 2), Err(ErrorKind::Busy));
        log.now += EXPIRY;
        assert_eq!(log.add(2, "b", 2), Err(ErrorKind::Busy));
        assert_eq!(log.add(3, "b", 2), Ok(4));
    }
}
