//! When services want to be woken, and waking them.
//!
//! A wake runs before the first item of the first entry whose stamp has reached it, as a part of that
//! entry with a log position of its own: earlier times first, services of one time by name.

use std::collections::BTreeMap;
use std::ops::RangeBounds;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Replica;
use super::apply::{HaltError, Stop};
use super::running::Underway;
use super::step::Step;
use crate::collections::Set;
use crate::context::LogPosition;
use crate::effects::MAX_WAKES;
use crate::service::Moment;

/// Wakes that one entry carries out; the rest is due with the next one. With the items of an entry
/// they share ordinals of 16 bits.
const MAX_WAKES_PER_ENTRY: usize = 1024;

/// The wakes that services have asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Timers {
    /// Log times in nanoseconds, by service; none of them empty.
    // Frozen with each snapshot.
    due: BTreeMap<String, Set<u64>>,
}

impl Timers {
    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// How many more wakes a service may ask for.
    pub(super) fn room(&self, service: &str) -> usize {
        MAX_WAKES.saturating_sub(self.due.get(service).map_or(0, Set::len))
    }

    pub(super) fn add(&mut self, service: &str, wakes: impl IntoIterator<Item = u64>) {
        for at in wakes {
            match self.due.get_mut(service) {
                Some(due) => drop(due.insert(at)),
                None => drop(self.due.insert(service.to_owned(), Set::from([at]))),
            }
        }
    }

    /// The log time of the next wake.
    pub(super) fn next(&self) -> Option<Duration> {
        self.first().map(|(at, _)| Duration::from_nanos(at))
    }

    fn first(&self) -> Option<(u64, &str)> {
        let firsts = self.due.iter();
        let firsts = firsts.filter_map(|(service, due)| Some((*due.first()?, service.as_str())));
        firsts.min()
    }

    /// Takes out what is due: the services to wake, in order.
    fn take_due(&mut self, now: Duration) -> Vec<String> {
        let mut due = Vec::new();
        while due.len() < MAX_WAKES_PER_ENTRY
            && let Some((at, service)) = self.first()
            && Duration::from_nanos(at) <= now
        {
            let service = service.to_owned();
            if let Some(times) = self.due.get_mut(&service) {
                times.pop_first();
                if times.is_empty() {
                    self.due.remove(&service);
                }
            }
            due.push(service);
        }
        due
    }
}

impl Replica {
    /// Takes out the wakes that are due with the entry that begins.
    pub(super) fn find_due(&mut self) {
        self.woken = self.timers.take_due(self.clock);
    }

    /// Wakes the services that are due with this entry, as far as that belongs to the steps asked
    /// for. What they ask for meanwhile is for a later one.
    pub(super) fn run_timers(
        &mut self,
        position: &mut LogPosition,
        seed: u64,
        steps: &impl RangeBounds<Step>,
        underway: Option<&Underway<'_>>,
    ) -> Result<(), Stop> {
        // Kept until the next entry: this one may be gone through again, from its middle.
        let woken = self.woken.clone();
        let mut step = Step::FIRST;
        for service in &woken {
            if steps.contains(&step) {
                self.wake((step, *position), seed, service, underway)?;
            }
            position.ordinal += 1;
            step = step.next();
        }
        Ok(())
    }

    fn wake(
        &mut self,
        (step, position): (Step, LogPosition),
        seed: u64,
        service: &str,
        underway: Option<&Underway<'_>>,
    ) -> Result<(), Stop> {
        let index = position.index;
        let name = self.services.get(service).and_then(|this| this.timer());
        let name = name.ok_or_else(|| HaltError::NoTimer {
            index,
            service: service.to_owned(),
        })?;
        let place = step.place(index);
        if self.leaves_out(place) {
            self.panics.add(place, service, name);
            return Ok(());
        }
        if !self.panics.is_empty() && self.panics.refuses(service, name) {
            tracing::error!(
                timer = format!("{service}.{name}"),
                index,
                "the timer has panicked too often and is not run; correct it, start the new binary, \
                 then call Node::clear_panics"
            );
            return Ok(());
        }
        let moment = Moment {
            position,
            request: None,
            now: self.clock,
            seed,
            room: self.timers.room(service),
        };
        let _shown = underway.map(|underway| underway.timer(position, format!("{service}.{name}")));
        let effects = self.run_user_code(
            (step, position),
            service,
            |this| Ok(this.wake(moment)),
            || ("timer", name.to_owned()),
        )?;
        self.watch
            .ran(&moment, (service, || self.active(service)), None, None);
        if let Some(fault) = &effects.fault {
            tracing::error!(timer = format!("{service}.{name}"), index, "{fault}");
        }
        self.take_effects(index, service, effects);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn timers(wakes: &[(&str, u64)]) -> Timers {
        let mut timers = Timers::default();
        for (service, at) in wakes {
            timers.add(service, [at * 1_000_000_000]);
        }
        timers
    }

    #[test]
    fn what_is_due_is_taken_out_in_order_of_time_and_name() {
        let mut timers = timers(&[("b", 2), ("a", 2), ("b", 1), ("a", 3), ("b", 1)]);
        assert_eq!(timers.next(), Some(seconds(1)));
        assert_eq!(timers.take_due(seconds(2)), ["b", "a", "b"]);
        assert_eq!(timers.next(), Some(seconds(3)));
        assert_eq!(timers.take_due(seconds(3)), ["a"]);
        assert_eq!(timers, Timers::default());
    }

    #[test]
    fn wakes_are_the_same_after_a_snapshot() {
        let timers = timers(&[("b", 2), ("a", 1), ("b", 1)]);
        let bytes = crate::codec::encode(&timers).unwrap();
        assert_eq!(crate::codec::decode::<Timers>(&bytes).unwrap(), timers);
    }

    #[test]
    fn an_entry_carries_out_a_bounded_number_and_the_room_of_a_service_is_bounded() {
        let mut timers = Timers::default();
        timers.add("a", 0..MAX_WAKES as u64);
        assert_eq!((timers.room("a"), timers.room("b")), (0, MAX_WAKES));
        assert_eq!(timers.take_due(seconds(9)).len(), MAX_WAKES_PER_ENTRY);
        assert_eq!(timers.room("a"), MAX_WAKES_PER_ENTRY);
    }
}
