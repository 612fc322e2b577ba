//! The calls of one stream that are on the wire, by the id they carry.

use std::time::Duration;

use tokio::time::Instant;

use super::throttle::Reads;
use crate::request::ReplyTo;

/// How long after its deadline a call may still occupy a place. A node answers every call by its
/// deadline; one that does not must not fill the stream for ever.
const GRACE: Duration = Duration::from_secs(5);

/// Slots with reuse: an id is the slot's number below its generation, so a late answer of an
/// earlier call is told from one of the present call.
#[derive(Default)]
pub(super) struct Flights {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

struct Slot {
    generation: u32,
    flight: Option<Flight>,
}

/// A call on the wire.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) reply: ReplyTo,
    /// What kind of read it is, if it is one.
    pub(super) reads: Option<Reads>,
    /// When it was put on the wire.
    pub(super) sent: Instant,
    pub(super) deadline: Instant,
}

impl Flights {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes a call in and returns its id. The caller bounds their number.
    pub(super) fn insert(&mut self, flight: Flight) -> u64 {
        let flight = Some(flight);
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.flight = flight;
            return id(index, slot.generation);
        }
        let index = u32::try_from(self.slots.len()).expect("the number of calls is bounded");
        self.slots.push(Slot {
            generation: 0,
            flight,
        });
        id(index, 0)
    }

    /// Ends a call; `None` if there is none of that id, as the other side may claim anything.
    pub(super) fn remove(&mut self, id: u64) -> Option<Flight> {
        let index = (id & u64::from(u32::MAX)) as u32;
        let slot = self.slots.get_mut(index as usize)?;
        if u64::from(slot.generation) != id >> 32 {
            return None;
        }
        let flight = slot.flight.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        Some(flight)
    }

    /// Ends the calls which the node should have answered long ago.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<ReplyTo> {
        self.take_if(|flight| flight.deadline + GRACE < now)
    }

    /// Ends all calls.
    pub(super) fn take_all(&mut self) -> Vec<ReplyTo> {
        self.take_if(|_| true)
    }

    fn take_if(&mut self, which: impl Fn(&Flight) -> bool) -> Vec<ReplyTo> {
        let ids: Vec<u64> = (0..)
            .zip(&self.slots)
            .filter(|(_, slot)| slot.flight.as_ref().is_some_and(&which))
            .map(|(index, slot)| id(index, slot.generation))
            .collect();
        let ended = ids.into_iter().filter_map(|id| self.remove(id));
        ended.map(|flight| flight.reply).collect()
    }
}

fn id(index: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    fn flight(now: Instant, deadline: Instant) -> Flight {
        Flight {
            reply: ReplyTo::Task(oneshot::channel().0),
            reads: None,
            sent: now,
            deadline,
        }
    }

    #[test]
    fn a_late_answer_does_not_end_the_call_in_the_same_slot() {
        let mut flights = Flights::default();
        let now = Instant::now();
        let first = flights.insert(flight(now, now));
        assert!(flights.remove(first).is_some());
        let second = flights.insert(flight(now, now));
        assert!(flights.remove(first).is_none());
        assert_eq!(flights.len(), 1);
        assert!(flights.remove(second).is_some());
        assert!(flights.remove(u64::MAX).is_none());
        assert_eq!(flights.len(), 0);
    }

    #[test]
    fn only_overdue_calls_are_ended() {
        let mut flights = Flights::default();
        let now = Instant::now();
        flights.insert(flight(now, now));
        let kept = flights.insert(flight(now, now + GRACE));
        assert_eq!(
            flights
                .overdue(now + GRACE + Duration::from_millis(1))
                .len(),
            1
        );
        assert!(flights.remove(kept).is_some());
    }
}
