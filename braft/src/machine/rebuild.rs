//! The state made anew: from the last snapshot, or from nothing, and the log behind it, without the
//! commands that panicked.
//!
//! A command that panics may have changed a part of its state by then. To keep a copy from before
//! each command would cost every command; panics are few.

use std::collections::BTreeSet;
use std::io;

use bytes::Bytes;

use super::apply::{Answers, Batch, HaltError, Stop};
use super::refused::caught;
use super::step::Step;
use super::{Machine, Replica};
use crate::member::Members;
use crate::session::Place;

/// Commands that may panic in the course of one rebuild and did not before: more than one is a
/// service that behaves differently each time.
const MAX_NEW_PANICS: usize = 8;
/// A snapshot may come in, and the log before it go, while the state is made anew from an older one.
const MAX_SNAPSHOTS: usize = 8;

/// An entry of the log.
pub(crate) enum Logged {
    Blank,
    Members(Members),
    Batch(Bytes),
}

/// What a state is made of anew.
pub(crate) trait Past {
    /// The state in the newest snapshot; `None` without one.
    fn newest_snapshot(&self, machine: &Machine) -> io::Result<Option<Replica>>;

    /// Gives the entries from one index up to before another, in order, each with its log id, until
    /// there are no more or `each` returns false. Fewer than asked for if the first are gone.
    fn entries(
        &self,
        from: u64,
        before: u64,
        each: &mut dyn FnMut((u64, u64), Logged) -> bool,
    ) -> io::Result<()>;
}

/// The state could not be made anew.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RebuildError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error(
        "entry {index} is gone from the log, and no snapshot holds it; give this node an empty data \
         directory, and it joins as a new node"
    )]
    Gone { index: u64 },
    #[error(
        "its snapshot holds the effect of a command that had none on the others (log index {index}); \
         give this node an empty data directory, and it joins as a new node"
    )]
    InSnapshot { index: u64 },
    #[error("{0}")]
    Halt(Box<HaltError>),
    #[error(
        "{MAX_NEW_PANICS} commands panicked now that did not before: what they do differs from time \
         to time"
    )]
    TooManyPanics,
}

/// How far a state is made anew.
#[derive(Clone, Copy)]
pub(super) enum Upto<'a> {
    /// As it was before this step of an entry.
    Within(&'a Batch, Step),
    /// As it was after the entry with this index.
    After(u64),
}

/// How an attempt to make a state anew ended.
enum Attempt {
    Done(Box<Replica>),
    /// A command panicked that had not before.
    Panicked(Place),
    /// The log begins later than the snapshot ends.
    Gone(u64),
}

impl Machine {
    /// Makes the state anew, without the commands at some places. Returns a later state if the newest
    /// snapshot holds one.
    pub(super) fn rebuild(
        &self,
        past: &dyn Past,
        mut left_out: BTreeSet<Place>,
        upto: Upto<'_>,
    ) -> Result<Replica, RebuildError> {
        let (mut new_panics, mut snapshots) = (0, 0);
        loop {
            match self.attempt(past, &left_out, upto)? {
                Attempt::Done(replica) => return Ok(*replica),
                Attempt::Panicked(place) => {
                    new_panics += 1;
                    if new_panics > MAX_NEW_PANICS {
                        return Err(RebuildError::TooManyPanics);
                    }
                    left_out.insert(place);
                }
                Attempt::Gone(index) => {
                    snapshots += 1;
                    if snapshots > MAX_SNAPSHOTS {
                        return Err(RebuildError::Gone { index });
                    }
                }
            }
        }
    }

    fn attempt(
        &self,
        past: &dyn Past,
        left_out: &BTreeSet<Place>,
        upto: Upto<'_>,
    ) -> Result<Attempt, RebuildError> {
        let end = match upto {
            Upto::Within((_, index, _), _) => *index,
            Upto::After(index) => index + 1,
        };
        let base = past.newest_snapshot(self)?;
        let mut replica = base.unwrap_or_else(|| self.empty_replica());
        replica.replay = Some(left_out.clone());
        let mut answers = Answers::new();
        let mut stop = None;
        let mut due = replica.applied.map_or(0, |(_, index)| index + 1);
        past.entries(due, end, &mut |log_id, logged| {
            if log_id.1 != due {
                return false;
            }
            due = log_id.1 + 1;
            let applied = match logged {
                Logged::Blank => Ok(()),
                Logged::Members(members) => {
                    replica.apply_members(log_id, members);
                    Ok(())
                }
                Logged::Batch(bytes) => {
                    answers.clear();
                    let batch = (log_id.0, log_id.1, bytes);
                    let applied = replica.apply_items(&batch, .., None, &mut answers);
                    replica.end_batch(log_id);
                    applied
                }
            };
            replica.applied = Some(log_id);
            stop = applied.err();
            stop.is_none()
        })?;
        if stop.is_none() && due < end {
            return Ok(Attempt::Gone(due));
        }
        if stop.is_none()
            && due == end
            && let Upto::Within(entry, next) = upto
        {
            answers.clear();
            stop = replica.apply_items(entry, ..next, None, &mut answers).err();
        }
        let attempt = match stop {
            None => {
                replica.replay = None;
                return Ok(Attempt::Done(Box::new(replica)));
            }
            Some(Stop::Halt(error)) => return Err(RebuildError::Halt(Box::new(error))),
            Some(Stop::Panicked(panic)) => {
                tracing::error!("{panic}, which it had not before; it is left out");
                Attempt::Panicked(panic.place())
            }
            Some(Stop::Contradicted(place)) if left_out.contains(&place) => {
                return Err(RebuildError::InSnapshot { index: place.0 });
            }
            Some(Stop::Contradicted(place)) => Attempt::Panicked(place),
        };
        drop_quietly(replica);
        Ok(attempt)
    }
}

impl Machine {
    /// Makes the state anew from a snapshot that another node has written, and the log behind it.
    pub(crate) fn start_over(&self, past: &dyn Past) -> Result<(), RebuildError> {
        let mut replica = self.write();
        let upto = replica.applied.map_or(0, |(_, index)| index);
        let left_out = replica.panics.places().clone();
        let mut rebuilt = self.rebuild(past, left_out, Upto::After(upto))?;
        rebuilt.panic_texts = std::mem::take(&mut replica.panic_texts);
        self.note_panics(&rebuilt);
        self.renew_door(&rebuilt);
        self.digests.send_replace(None);
        drop_quietly(std::mem::replace(&mut *replica, rebuilt));
        drop(replica);
        self.verdicts.send_modify(|count| *count += 1);
        Ok(())
    }
}

/// Drops a state that a command left behind half-changed: to drop it may panic as well.
pub(super) fn drop_quietly(replica: Replica) {
    if let Err(message) = caught(|| drop(replica)) {
        tracing::error!(
            "a state that a command had left behind panicked when it was dropped: {message}"
        );
    }
}

/// For commands that do not panic.
#[cfg(any(test, feature = "testing"))]
pub(crate) struct NoPast;

#[cfg(any(test, feature = "testing"))]
impl Past for NoPast {
    fn newest_snapshot(&self, _: &Machine) -> io::Result<Option<Replica>> {
        unreachable!("nothing panics")
    }

    fn entries(
        &self,
        _: u64,
        _: u64,
        _: &mut dyn FnMut((u64, u64), Logged) -> bool,
    ) -> io::Result<()> {
        unreachable!("nothing panics")
    }
}

#[cfg(all(test, feature = "macros"))]
mod tests;
