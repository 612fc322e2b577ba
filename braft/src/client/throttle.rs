//! Reads that a client refuses itself, because the node would.
//!
//! To refuse a read costs a node a good part of what an answer does: under twice the load it carries it
//! would spend a third of its time on refusals. So while a node says *busy*, a client sends it a little
//! more than it answers, and refuses the rest unsent. Commands always go: a refused one costs little
//! beside one that is carried out, and of one that is sent again it may not be known what became of it.
//!
//! Source: adaptive throttling in "Handling Overload" (Site Reliability Engineering, chapter 21). In place
//! of its random numbers parts of a read are added up, so that a simulation plays the same again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::call::ReadLevel;
use crate::request::Action;

/// How many reads are sent for each that is answered. What is beyond one finds out whether the node
/// answers more by now, and costs it refusals: with a quarter, six hundredths of what it carries.
const SENT_PER_ANSWER: f64 = 1.25;
/// The time that is looked back upon, in parts: the oldest one is forgotten as a whole.
const PARTS: usize = 8;
const PART: Duration = Duration::from_millis(64);
/// So many reads in that time are sent whatever was answered: they are no load, and a node that has
/// answered none for a while is still asked.
const FREE: f64 = 8.0;
/// How long after a node last said *busy* everything is sent again.
const QUIET: Duration = Duration::from_millis(500);
/// A read with so many times the time that refused ones had may be answered where they were not.
const MORE_TIME: u32 = 2;
/// Why a read is refused that was not sent.
pub(super) const THROTTLED: &str = "the node refuses reads as busy, and this one was not sent to be \
                                    refused as well; back off";

/// Reads that are answered, or refused, together: by the leader, or by whatever node is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    OfLeader,
    OfNode,
}

impl Reads {
    /// What kind of read a call is; `None` if it is not one.
    pub(super) fn of(action: Action) -> Option<Self> {
        let Action::Query { level, .. } = action else {
            return None;
        };
        match level {
            ReadLevel::Linearizable | ReadLevel::Lease => Some(Reads::OfLeader),
            ReadLevel::Follower
            | ReadLevel::Session
            | ReadLevel::LocalAtMost(_)
            | ReadLevel::Local => Some(Reads::OfNode),
        }
    }
}

/// What became of reads whose answers came together.
#[derive(Debug, Default)]
pub(super) struct Ended([Tally; 2]);

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    answered: u32,
    /// The most time that one had which the node refused as busy.
    refused: Option<Duration>,
}

impl Ended {
    /// One that had so much time when it was sent.
    pub(super) fn add(&mut self, reads: Reads, is_busy: bool, had: Duration) {
        let tally = &mut self.0[reads as usize];
        if is_busy {
            tally.refused = tally.refused.max(Some(had));
        } else {
            tally.answered += 1;
        }
    }
}

/// The reads over one stream.
#[derive(Debug, Default)]
pub(super) struct Throttle([Gate; 2]);

#[derive(Debug, Default)]
struct Gate {
    /// Whether the node said *busy* lately: mostly it did not, and nothing else is looked at.
    is_busy: AtomicBool,
    lately: Mutex<Lately>,
}

impl Gate {
    fn lately(&self) -> MutexGuard<'_, Lately> {
        // No code that can panic runs between two changes that belong together.
        self.lately.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Throttle {
    /// Whether a read that has so much time left is to be sent.
    pub(super) fn admits(&self, reads: Reads, left: Duration, now: Instant) -> bool {
        let gate = &self.0[reads as usize];
        if !gate.is_busy.load(Ordering::Relaxed) {
            return true;
        }
        let mut lately = gate.lately();
        if lately.is_over(now) {
            gate.is_busy.store(false, Ordering::Relaxed);
            return true;
        }
        lately.admits(left, now)
    }

    /// Whether the node has said *busy* lately to reads of either kind.
    pub(super) fn is_busy(&self, now: Instant) -> bool {
        let mut gates = self.0.iter();
        gates.any(|gate| gate.is_busy.load(Ordering::Relaxed) && !gate.lately().is_over(now))
    }

    /// Takes note of what became of reads.
    pub(super) fn note(&self, ended: &Ended, now: Instant) {
        for (gate, tally) in self.0.iter().zip(ended.0) {
            let is_busy = gate.is_busy.load(Ordering::Relaxed);
            if tally.refused.is_none() && (!is_busy || tally.answered == 0) {
                continue;
            }
            let mut lately = gate.lately();
            if tally.refused.is_some() && lately.is_over(now) {
                *lately = Lately::new(now);
            }
            lately.note(tally, now);
            if tally.refused.is_some() {
                gate.is_busy.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// What was asked and answered since a node began to say *busy*, as far as it is not forgotten.
#[derive(Debug, Default)]
struct Lately {
    /// `None` before the first time.
    began: Option<Instant>,
    refused_at: Option<Instant>,
    parts: [Part; PARTS],
    /// The number of the present part, counted from the beginning.
    present: u128,
    /// What is left over of reads that were sent in part.
    over: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Part {
    asked: u32,
    answered: u32,
    /// The most time that a refused one had.
    refused: Duration,
}

impl Lately {
    fn new(now: Instant) -> Self {
        Lately {
            began: Some(now),
            refused_at: Some(now),
            ..Lately::default()
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.refused_at
            .is_none_or(|at| now.saturating_duration_since(at) >= QUIET)
    }

    /// The present part; those that are too old by now are forgotten.
    fn present(&mut self, now: Instant) -> &mut Part {
        let elapsed = self
            .began
            .map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
        let number = (elapsed.as_nanos() / PART.as_nanos()).max(self.present);
        let passed = (number - self.present).min(PARTS as u128);
        for part in number + 1 - passed..=number {
            self.parts[(part % PARTS as u128) as usize] = Part::default();
        }
        self.present = number;
        &mut self.parts[(number % PARTS as u128) as usize]
    }

    fn note(&mut self, tally: Tally, now: Instant) {
        if tally.refused.is_some() {
            self.refused_at = Some(now);
        }
        let present = self.present(now);
        present.answered = present.answered.saturating_add(tally.answered);
        present.refused = present.refused.max(tally.refused.unwrap_or_default());
    }

    fn admits(&mut self, left: Duration, now: Instant) -> bool {
        let present = self.present(now);
        present.asked = present.asked.saturating_add(1);
        let sum =
            |count: fn(&Part) -> u32| self.parts.iter().map(count).map(f64::from).sum::<f64>();
        let (asked, answered) = (sum(|part| part.asked), sum(|part| part.answered));
        let refused = self.parts.iter().map(|part| part.refused).max();
        if left > MORE_TIME * refused.unwrap_or_default() {
            return true;
        }
        // Of this one, and of all like it, such a part is sent.
        let part = (answered * SENT_PER_ANSWER + FREE) / asked;
        self.over += part.min(1.0);
        let is_sent = self.over >= 1.0;
        if is_sent {
            self.over -= 1.0;
        }
        is_sent
    }
}

#[cfg(test)]
mod tests;
