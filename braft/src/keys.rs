//! Idempotency keys: replicated state that makes a command which its callers have named run once.
//!
//! A session recognizes the attempts of one client. Over HTTP a caller that repeats a request is
//! another client each time, perhaps at another node, so the caller names the command by a key.
//!
//! A key does not take the place of the session, it comes on top of it: the node that takes the
//! request in sends the command in its own session, and the key is looked at once the session lets it
//! run. What the key decides is settled in the session as well. So a late duplicate of an attempt is
//! recognized by its session, whose id no client chooses, even after the key is forgotten; a key
//! alone would let it run again then. And whoever sends the same key twice at once waits for
//! nothing but the log: the second is carried out after the first, and finds its outcome.
//!
//! A key is kept for [`Settings::key_expiry_ms`] of log time from its first use, and never
//! forgotten earlier: when the table is full a command with a new key is busy.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::collections::Map;
use crate::error::{Error, ErrorKind};
use crate::request::Refusal;
use crate::session::{MAX_KEPT_ANSWER_BYTES, Place};
use crate::settings::Settings;
use crate::siphash::siphash_2_4_128;

/// The longest key.
pub(crate) const MAX_KEY_BYTES: usize = 128;
/// What a key takes beside itself and its answer, roughly.
const OVERHEAD_BYTES: u64 = 128;

/// Refuses a key that is too long.
pub(crate) fn check_key(key: &[u8]) -> Result<(), Error> {
    if key.len() <= MAX_KEY_BYTES {
        return Ok(());
    }
    Err(Error::rejected(format!(
        "the idempotency key has {} bytes, the limit is {MAX_KEY_BYTES}",
        key.len()
    )))
}

/// What the table says of a command before it runs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// The key is new: run it, then [`Keys::save`] what came of it.
    New,
    /// The key is new, and there is no room for it.
    NoRoom,
    /// The command has run.
    Outcome(KeyOutcome),
    /// Another command has run under this key.
    OfAnother,
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeyOutcome {
    Answered(#[serde(with = "codec::byte_string")] Bytes),
    /// It ran; its answer is too large to be kept, or has no form.
    AnswerDropped,
    /// It panicked at this place of the log, and has no effect.
    Panicked {
        index: u64,
        ordinal: u32,
    },
}

/// The keys of a cluster's commands.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Keys {
    table: Map<Key, Used>,
    /// The keys by their first use. Log time never goes back: the first expires first.
    order: Map<u64, Key>,
    /// How many there ever were.
    counted: u64,
    kept_bytes: u64,
}

type Key = Vec<u8>;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Used {
    /// Of service, method and arguments.
    digest: [u64; 2],
    at: Duration,
    outcome: KeyOutcome,
}

impl Used {
    fn bytes(&self, key: &[u8]) -> u64 {
        let answer = match &self.outcome {
            KeyOutcome::Answered(answer) => answer.len(),
            KeyOutcome::AnswerDropped | KeyOutcome::Panicked { .. } => 0,
        };
        OVERHEAD_BYTES + (key.len() + answer) as u64
    }
}

/// Tells one command from another. Whoever makes two that collide fools nobody else.
fn digest(service: &[u8], payload: &[u8]) -> [u64; 2] {
    let named = siphash_2_4_128([0, 0], service);
    let hash = siphash_2_4_128([named as u64, (named >> 64) as u64], payload);
    [hash as u64, (hash >> 64) as u64]
}

impl Keys {
    pub(crate) fn is_empty(&self) -> bool {
        self.counted == 0
    }

    /// What is known of a command under a key.
    pub(crate) fn find(
        &self,
        key: &[u8],
        (service, payload): (&[u8], &[u8]),
        settings: &Settings,
    ) -> Known {
        match self.table.get(key) {
            Some(used) if used.digest == digest(service, payload) => {
                Known::Outcome(used.outcome.clone())
            }
            Some(_) => Known::OfAnother,
            None if self.table.len() as u64 >= settings.max_keys => Known::NoRoom,
            None if self.kept_bytes >= settings.kept_key_bytes => Known::NoRoom,
            None => Known::New,
        }
    }

    /// Keeps what came of a command that [`find`](Self::find) let run.
    pub(crate) fn save(
        &mut self,
        key: &[u8],
        (service, payload): (&[u8], &[u8]),
        now: Duration,
        outcome: KeyOutcome,
    ) {
        let outcome = match outcome {
            KeyOutcome::Answered(answer) if answer.len() > MAX_KEPT_ANSWER_BYTES => {
                KeyOutcome::AnswerDropped
            }
            other => other,
        };
        let used = Used {
            digest: digest(service, payload),
            at: now,
            outcome,
        };
        self.kept_bytes += used.bytes(key);
        self.order.insert(self.counted, key.to_owned());
        self.table.insert(key.to_owned(), used);
        self.counted += 1;
    }

    /// Forgets the keys whose time is up. Only called from apply, with log time.
    pub(crate) fn forget_old(&mut self, now: Duration, settings: &Settings) {
        let expiry = Duration::from_millis(settings.key_expiry_ms);
        while let Some((first, key)) = self.order.iter().next() {
            let used = self.table.get(key.as_slice());
            let is_old = used.is_none_or(|used| used.at + expiry <= now);
            if !is_old {
                return;
            }
            let (first, key) = (*first, key.clone());
            self.order.remove(&first);
            if let Some(used) = self.table.remove(key.as_slice()) {
                self.kept_bytes -= used.bytes(&key);
            }
        }
    }
}

impl KeyOutcome {
    pub(crate) fn panicked((index, ordinal): Place) -> Self {
        KeyOutcome::Panicked { index, ordinal }
    }
}

/// What a caller is told whose key another command has.
pub(crate) fn reused() -> Refusal {
    Refusal {
        kind: ErrorKind::KeyReused,
        ..Refusal::without_effect(
            "another command was called with this idempotency key; give each command its own",
        )
    }
}

/// What a caller is told while there is no room for its key.
pub(crate) fn no_room(settings: &Settings) -> Refusal {
    Refusal {
        kind: ErrorKind::Busy,
        ..Refusal::without_effect(format!(
            "as many idempotency keys are in use as are kept ({} keys, {} bytes); wait until some \
             expire, or raise max_keys and kept_key_bytes",
            settings.max_keys, settings.kept_key_bytes
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const CALL: (&[u8], &[u8]) = (b"Counter", b"add 1");

    fn settings() -> Settings {
        Settings {
            key_expiry_ms: 10_000,
            max_keys: 2,
            ..Settings::default()
        }
    }

    fn answer() -> KeyOutcome {
        KeyOutcome::Answered(Bytes::from_static(b"one"))
    }

    fn used() -> Keys {
        let mut keys = Keys::default();
        assert_eq!(keys.find(b"a", CALL, &settings()), Known::New);
        keys.save(b"a", CALL, SECOND, answer());
        keys
    }

    #[test]
    fn a_repeat_finds_the_outcome_and_another_command_is_told_apart() {
        let keys = used();
        let bytes = codec::encode(&keys).unwrap();
        for keys in [keys, codec::decode(&bytes).unwrap()] {
            let find = |call| keys.find(b"a", call, &settings());
            assert_eq!(find(CALL), Known::Outcome(answer()));
            assert_eq!(find((b"Counter", b"add 2")), Known::OfAnother);
            assert_eq!(find((b"Other", b"add 1")), Known::OfAnother);
        }
    }

    #[test]
    fn a_key_is_kept_for_its_time_and_no_longer() {
        let mut keys = used();
        keys.save(b"b", CALL, 2 * SECOND, KeyOutcome::panicked((7, 1)));
        keys.forget_old(11 * SECOND - Duration::from_nanos(1), &settings());
        assert_eq!(keys.find(b"a", CALL, &settings()), Known::Outcome(answer()));
        keys.forget_old(11 * SECOND, &settings());
        assert_eq!(keys.find(b"a", CALL, &settings()), Known::New);
        let panicked = Known::Outcome(KeyOutcome::panicked((7, 1)));
        assert_eq!(keys.find(b"b", CALL, &settings()), panicked);
        keys.forget_old(12 * SECOND, &settings());
        assert_eq!(keys.kept_bytes, 0);
    }

    #[test]
    fn a_full_table_refuses_new_keys_and_forgets_none() {
        let mut keys = used();
        keys.save(b"b", CALL, SECOND, answer());
        assert_eq!(keys.find(b"c", CALL, &settings()), Known::NoRoom);
        assert_eq!(keys.find(b"b", CALL, &settings()), Known::Outcome(answer()));
        let few_bytes = Settings {
            kept_key_bytes: 200,
            ..Settings::default()
        };
        assert_eq!(keys.find(b"c", CALL, &few_bytes), Known::NoRoom);
    }

    #[test]
    fn an_answer_too_large_to_be_kept_still_keeps_its_key() {
        let mut keys = Keys::default();
        let large = Bytes::from(vec![0; MAX_KEPT_ANSWER_BYTES + 1]);
        keys.save(b"a", CALL, SECOND, KeyOutcome::Answered(large));
        let dropped = Known::Outcome(KeyOutcome::AnswerDropped);
        assert_eq!(keys.find(b"a", CALL, &settings()), dropped);
    }
}
