//! Between the messages of the wire and the types of the runtime.
//!
//! `*_to` makes a message, `*_from` reads one. Reading refuses what this version does not know; it
//! never guesses and never panics.

use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;

use super::v1::{self, call_answer, call_request::Operation};
use crate::call::ReadLevel;
use crate::error::{ErrorKind, Outcome};
use crate::request::{Action, Refusal, Reply};

/// A message from the wire is not what it should be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    #[error("a cluster id has 16 bytes, got {0}")]
    ClusterId(usize),
    #[error("the call names no operation this version knows; use a client of the same version")]
    NoOperation,
    #[error("the subscriber does not say where to begin; use a client of the same version")]
    NoStart,
    #[error("unknown read level {0}; use a client of the same version")]
    ReadLevel(i32),
}

/// A cluster id as 16 bytes, big endian.
pub(crate) fn cluster_id_to(id: u128) -> Bytes {
    Bytes::copy_from_slice(&id.to_be_bytes())
}

/// A cluster id from its 16 bytes.
pub(crate) fn cluster_id_from(bytes: &[u8]) -> Result<u128, WireError> {
    let bytes = <[u8; 16]>::try_from(bytes).map_err(|_| WireError::ClusterId(bytes.len()))?;
    Ok(u128::from_be_bytes(bytes))
}

/// A cluster id, or none where the sender left the field empty.
pub(crate) fn cluster_id_if_any(bytes: &[u8]) -> Result<Option<u128>, WireError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    cluster_id_from(bytes).map(Some)
}

pub(crate) fn action_to(action: Action) -> Operation {
    match action {
        Action::Command {
            session,
            sequence,
            responded_to,
            fence,
        } => Operation::Command(v1::Command {
            session,
            sequence,
            responded_to,
            fence: fence.map_or(0, NonZeroU64::get),
        }),
        Action::Query { level, min_index } => Operation::Query(v1::Query {
            level: match level {
                ReadLevel::Linearizable => v1::ReadLevel::Linearizable,
                ReadLevel::Lease => v1::ReadLevel::Lease,
                ReadLevel::Follower => v1::ReadLevel::Follower,
                ReadLevel::Session => v1::ReadLevel::Session,
                ReadLevel::LocalAtMost(_) => v1::ReadLevel::LocalAtMost,
                ReadLevel::Local => v1::ReadLevel::Local,
            }
            .into(),
            min_index,
            max_age_us: match level {
                ReadLevel::LocalAtMost(age) => u64::try_from(age.as_micros()).unwrap_or(u64::MAX),
                _ => 0,
            },
        }),
        Action::ReadIndex => Operation::ReadIndex(v1::ReadIndex {}),
        Action::OpenSession => Operation::OpenSession(v1::OpenSession {}),
        Action::CloseSession { session } => Operation::CloseSession(v1::CloseSession { session }),
    }
}

pub(crate) fn action_from(operation: Option<Operation>) -> Result<Action, WireError> {
    Ok(match operation.ok_or(WireError::NoOperation)? {
        Operation::Command(command) => Action::Command {
            session: command.session,
            sequence: command.sequence,
            responded_to: command.responded_to,
            fence: NonZeroU64::new(command.fence),
        },
        Operation::Query(query) => Action::Query {
            level: match v1::ReadLevel::try_from(query.level) {
                Ok(v1::ReadLevel::Linearizable) => ReadLevel::Linearizable,
                Ok(v1::ReadLevel::Lease) => ReadLevel::Lease,
                Ok(v1::ReadLevel::Follower) => ReadLevel::Follower,
                Ok(v1::ReadLevel::Session) => ReadLevel::Session,
                Ok(v1::ReadLevel::LocalAtMost) => {
                    ReadLevel::LocalAtMost(Duration::from_micros(query.max_age_us))
                }
                Ok(v1::ReadLevel::Local) => ReadLevel::Local,
                Err(_) => return Err(WireError::ReadLevel(query.level)),
            },
            min_index: query.min_index,
        },
        Operation::ReadIndex(v1::ReadIndex {}) => Action::ReadIndex,
        Operation::OpenSession(v1::OpenSession {}) => Action::OpenSession,
        Operation::CloseSession(v1::CloseSession { session }) => Action::CloseSession { session },
    })
}

pub(crate) fn answer_to(id: u64, reply: Reply) -> v1::CallAnswer {
    v1::CallAnswer {
        id,
        index: reply.index,
        result: Some(match reply.result {
            Ok(answer) => call_answer::Result::Answer(answer),
            Err(refusal) => call_answer::Result::Error(refusal_to(refusal)),
        }),
    }
}

/// The id of the call and its answer. An answer that cannot be read is a lost one: the other side
/// may have done anything.
pub(crate) fn answer_from(answer: v1::CallAnswer) -> (u64, Reply) {
    let result = match answer.result {
        Some(call_answer::Result::Answer(bytes)) => Ok(bytes),
        Some(call_answer::Result::Error(error)) => Err(refusal_from(error)),
        None => Err(Refusal::lost(
            "the node sent an answer without a result; use a client of the same version",
        )),
    };
    let index = answer.index;
    (answer.id, Reply { index, result })
}

pub(super) fn refusal_to(refusal: Refusal) -> v1::CallError {
    let kind = match refusal.kind {
        ErrorKind::Rejected => v1::ErrorKind::Rejected,
        ErrorKind::Busy => v1::ErrorKind::Busy,
        ErrorKind::Unavailable => v1::ErrorKind::Unavailable,
        ErrorKind::UnknownOutcome => v1::ErrorKind::UnknownOutcome,
        ErrorKind::SessionExpired => v1::ErrorKind::SessionExpired,
        ErrorKind::Fatal => v1::ErrorKind::Fatal,
        ErrorKind::Fenced => v1::ErrorKind::Fenced,
        ErrorKind::Compacted => v1::ErrorKind::Compacted,
        ErrorKind::KeyReused => v1::ErrorKind::KeyReused,
    };
    let outcome = match refusal.outcome {
        Outcome::NotApplied => v1::ErrorOutcome::NotApplied,
        Outcome::Unknown => v1::ErrorOutcome::Unknown,
        Outcome::Applied => v1::ErrorOutcome::Applied,
    };
    v1::CallError {
        kind: kind.into(),
        outcome: outcome.into(),
        message: refusal.message,
        leader: refusal.leader.unwrap_or_default(),
        retry: refusal.retry,
        settled: refusal.settled,
    }
}

pub(super) fn refusal_from(error: v1::CallError) -> Refusal {
    let kind = match v1::ErrorKind::try_from(error.kind) {
        Ok(v1::ErrorKind::Rejected) => ErrorKind::Rejected,
        Ok(v1::ErrorKind::Busy) => ErrorKind::Busy,
        Ok(v1::ErrorKind::Unavailable) => ErrorKind::Unavailable,
        Ok(v1::ErrorKind::UnknownOutcome) => ErrorKind::UnknownOutcome,
        Ok(v1::ErrorKind::SessionExpired) => ErrorKind::SessionExpired,
        Ok(v1::ErrorKind::Fatal) => ErrorKind::Fatal,
        Ok(v1::ErrorKind::Fenced) => ErrorKind::Fenced,
        Ok(v1::ErrorKind::Compacted) => ErrorKind::Compacted,
        Ok(v1::ErrorKind::KeyReused) => ErrorKind::KeyReused,
        Ok(v1::ErrorKind::Unspecified) | Err(_) => {
            return Refusal::lost(format!(
                "the node answered with error kind {}, which this version does not know: {}",
                error.kind, error.message
            ));
        }
    };
    let outcome = match v1::ErrorOutcome::try_from(error.outcome) {
        Ok(v1::ErrorOutcome::NotApplied) => Outcome::NotApplied,
        Ok(v1::ErrorOutcome::Applied) => Outcome::Applied,
        // Of an outcome this version does not know nothing is known.
        Ok(v1::ErrorOutcome::Unknown) | Err(_) => Outcome::Unknown,
    };
    Refusal {
        kind,
        outcome,
        message: error.message,
        leader: (!error.leader.is_empty()).then_some(error.leader),
        retry: error.retry && outcome == Outcome::NotApplied,
        settled: error.settled && outcome == Outcome::NotApplied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_survive_the_wire() {
        for action in [
            Action::Command {
                session: 1,
                sequence: 2,
                responded_to: 3,
                fence: None,
            },
            Action::Command {
                session: 1,
                sequence: 2,
                responded_to: 3,
                fence: NonZeroU64::new(4),
            },
            Action::Query {
                level: ReadLevel::Linearizable,
                min_index: 0,
            },
            Action::Query {
                level: ReadLevel::Lease,
                min_index: 0,
            },
            Action::Query {
                level: ReadLevel::Follower,
                min_index: 0,
            },
            Action::Query {
                level: ReadLevel::Session,
                min_index: 9,
            },
            Action::Query {
                level: ReadLevel::LocalAtMost(Duration::from_millis(1500)),
                min_index: 0,
            },
            Action::Query {
                level: ReadLevel::Local,
                min_index: 9,
            },
            Action::ReadIndex,
            Action::OpenSession,
            Action::CloseSession { session: 4 },
        ] {
            assert_eq!(action_from(Some(action_to(action))), Ok(action));
        }
    }

    #[test]
    fn refuses_operations_of_another_version() {
        assert_eq!(action_from(None), Err(WireError::NoOperation));
        let query = v1::Query {
            level: 77,
            ..v1::Query::default()
        };
        assert_eq!(
            action_from(Some(Operation::Query(query))),
            Err(WireError::ReadLevel(77))
        );
    }

    #[test]
    fn refusals_survive_the_wire() {
        let (id, reply) = answer_from(answer_to(
            7,
            Reply {
                index: 3,
                result: Err(Refusal::not_here("elsewhere", Some("a:1".to_owned()))),
            },
        ));
        let refusal = reply.result.unwrap_err();
        assert_eq!((id, reply.index), (7, 3));
        assert_eq!(refusal.kind, ErrorKind::Unavailable);
        assert_eq!(refusal.outcome, Outcome::NotApplied);
        assert_eq!(refusal.leader.as_deref(), Some("a:1"));
        assert!(refusal.retry);
    }

    #[test]
    fn an_unreadable_answer_is_a_lost_one() {
        let unknown_kind = v1::CallError {
            kind: 99,
            outcome: v1::ErrorOutcome::NotApplied.into(),
            retry: true,
            ..Default::default()
        };
        let unknown_outcome = v1::CallError {
            kind: v1::ErrorKind::Busy.into(),
            outcome: 99,
            retry: true,
            ..Default::default()
        };
        for result in [
            None,
            Some(call_answer::Result::Error(unknown_kind)),
            Some(call_answer::Result::Error(unknown_outcome)),
        ] {
            let (_, reply) = answer_from(v1::CallAnswer {
                id: 1,
                index: 0,
                result,
            });
            let refusal = reply.result.unwrap_err();
            assert_eq!(refusal.outcome, Outcome::Unknown);
            assert!(!refusal.retry);
        }
    }

    #[test]
    fn a_cluster_id_has_sixteen_bytes() {
        let id = 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10;
        assert_eq!(cluster_id_from(&cluster_id_to(id)), Ok(id));
        assert_eq!(cluster_id_from(&[1, 2]), Err(WireError::ClusterId(2)));
        assert_eq!(cluster_id_if_any(&[]), Ok(None));
    }
}
