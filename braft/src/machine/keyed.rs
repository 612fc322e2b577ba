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
            Known::NoRoom => return Ok(Err(no_room(&self.settings))),
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
