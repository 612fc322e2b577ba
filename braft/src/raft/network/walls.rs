//! What the members' wall clocks say, as far as this node was told.
//!
//! Each answer to a heartbeat or to a request for a vote bears the wall clock of the one that answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::peers::MAX_KNOWN;
use crate::wall::WallClock;

/// An older answer says nothing: the clock may have been set since.
const MAX_AGE: Duration = Duration::from_secs(10);

/// The time by the wall clocks of a majority: anything from the one to the other, which are equal
/// unless an even number is known. Since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
}

impl Agreed {
    /// The same after some time.
    pub(crate) fn later(self, elapsed: Duration) -> Self {
        Agreed {
            from: self.from.saturating_add(elapsed),
            to: self.to.saturating_add(elapsed),
        }
    }

    /// The nearest time that the clocks agree on.
    pub(crate) fn nearest(self, time: Duration) -> Duration {
        time.clamp(self.from, self.to)
    }
}

/// The clocks: one's own, and those that were told of.
#[derive(Debug, Default)]
pub(crate) struct Walls {
    own: WallClock,
    told: Mutex<BTreeMap<u64, Told>>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    wall: Duration,
    at: Instant,
}

impl Walls {
    pub(crate) fn new(own: WallClock) -> Self {
        Walls {
            own,
            told: Mutex::default(),
        }
    }

    /// This node's wall clock, since 1970.
    pub(crate) fn own(&self) -> Duration {
        self.own.now()
    }

    /// The same for a message, in nanoseconds.
    pub(super) fn to_wire(&self) -> u64 {
        u64::try_from(self.own().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A peer has said what its wall clock shows, in answer to a message sent at that moment. 0 says
    /// nothing: a peer of an older version.
    pub(super) fn told(&self, peer: u64, nanos: u64, sent: Instant) {
        if nanos == 0 {
            return;
        }
        let told = Told {
            wall: Duration::from_nanos(nanos),
            at: sent + sent.elapsed() / 2,
        };
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(peer, told);
        if all.len() > MAX_KNOWN {
            let oldest = all.iter().min_by_key(|(_, told)| told.at);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                all.remove(&oldest);
            }
        }
    }

    /// What the clocks of these members show now, this node's included; of whom it is known.
    pub(crate) fn of(
        &self,
        members: &BTreeSet<u64>,
        me: u64,
        now: Instant,
    ) -> BTreeMap<u64, Duration> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let shows = |id: &u64| {
            if *id == me {
                return Some((*id, self.own()));
            }
            let told = told.get(id)?;
            let age = now.saturating_duration_since(told.at);
            (age <= MAX_AGE).then(|| (*id, told.wall.saturating_add(age)))
        };
        members.iter().filter_map(shows).collect()
    }
}

/// The time that a majority's clocks agree on: none of a minority, however wrong, is outside of what
/// the others show. `None` if less than a majority of the voters is known.
pub(crate) fn agreed(shown: &BTreeMap<u64, Duration>, voters: usize) -> Option<Agreed> {
    let mut times: Vec<_> = shown.values().copied().collect();
    if times.len() <= voters / 2 {
        return None;
    }
    times.sort_unstable();
    Some(Agreed {
        from: times[(times.len() - 1) / 2],
        to: times[times.len() / 2],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn shown(times: &[u64]) -> BTreeMap<u64, Duration> {
        let times = times.iter().map(|time| seconds(*time));
        (1..).zip(times).collect()
    }

    fn between(from: u64, to: u64) -> Option<Agreed> {
        Some(Agreed {
            from: seconds(from),
            to: seconds(to),
        })
    }

    #[test]
    fn a_minority_moves_nothing() {
        assert_eq!(agreed(&shown(&[10, 9_999, 11]), 3), between(11, 11));
        assert_eq!(agreed(&shown(&[10, 0, 11]), 3), between(10, 10));
        assert_eq!(agreed(&shown(&[10, 9_999, 0, 11, 12]), 5), between(11, 11));
    }

    #[test]
    fn of_an_even_number_anything_between_the_middle_ones_is_agreed() {
        assert_eq!(agreed(&shown(&[10, 9_999]), 3), between(10, 9_999));
        assert_eq!(agreed(&shown(&[10, 9_999, 0, 20]), 5), between(10, 20));
    }

    #[test]
    fn less_than_a_majority_agrees_on_nothing() {
        assert_eq!(agreed(&shown(&[10]), 3), None);
        assert_eq!(agreed(&shown(&[10, 10]), 4), None);
        assert_eq!(agreed(&shown(&[10]), 1), between(10, 10));
    }

    #[test]
    fn what_was_told_goes_on_and_is_forgotten_when_it_is_old() {
        let walls = Walls::default();
        let now = Instant::now();
        walls.told(2, seconds(100).as_nanos() as u64, now);
        walls.told(3, 0, now);
        let members = BTreeSet::from([2, 3]);
        let shows = |after| walls.of(&members, 1, now + after).get(&2).copied();
        assert!(shows(seconds(5)).is_some_and(|time| time >= seconds(104)));
        assert_eq!(shows(MAX_AGE + seconds(1)), None);
        assert_eq!(walls.of(&members, 1, now).len(), 1);
    }
}
