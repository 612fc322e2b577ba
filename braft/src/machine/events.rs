//! The events that services have emitted and subscribers may still ask for: replicated state.
//!
//! Bounded by bytes and by age in log time, both replicated settings, so that every node keeps the
//! same ones and any of them can serve a subscriber.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Replica;
use crate::codec;
use crate::collections::Map;
use crate::error::{Error, ErrorKind, Outcome};
use crate::event::{EventBatch, EventPosition, Since};
use crate::request::Refusal;
use crate::settings::Settings;

/// What an event takes beside its own bytes, roughly.
const OVERHEAD_BYTES: u64 = 64;
/// Events given out at once: they are looked up while commands wait.
const MAX_BATCH_EVENTS: usize = 512;
/// Bytes of events given out at once, unless a single one is larger.
const MAX_BATCH_BYTES: usize = 256 << 10;

/// The events of all services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Histories {
    services: BTreeMap<String, History>,
}

/// The events of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct History {
    /// By number, without gaps.
    // Frozen with each snapshot, and it may be large.
    events: Map<u64, Kept>,
    /// How many were emitted ever: the number of the next.
    emitted: u64,
    bytes: u64,
    /// The last one emitted.
    last: EventPosition,
    /// The last one that is no longer kept; the default if none was dropped.
    compacted: EventPosition,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Kept {
    position: EventPosition,
    /// Log time in nanoseconds.
    at: u64,
    #[serde(with = "codec::byte_string")]
    event: Bytes,
}

impl Histories {
    pub(super) fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// The index of the last log entry that emitted anything.
    pub(super) fn last_index(&self) -> u64 {
        let last = self.services.values().map(|history| history.last.index);
        last.max().unwrap_or(0)
    }

    /// Takes in what a service has emitted in the log entry at this index.
    pub(super) fn add(
        &mut self,
        service: &str,
        index: u64,
        now: Duration,
        events: Vec<Bytes>,
        settings: &Settings,
    ) {
        if events.is_empty() {
            return;
        }
        if !self.services.contains_key(service) {
            self.services.insert(service.to_owned(), History::default());
        }
        if let Some(history) = self.services.get_mut(service) {
            for event in events {
                history.push(index, now, event);
            }
            history.shrink(settings.event_history_bytes);
        }
    }

    /// Drops what has become too old.
    pub(super) fn forget_old(&mut self, now: Duration, settings: &Settings) {
        let age = Duration::from_millis(settings.event_history_age_ms);
        for history in self.services.values_mut() {
            history.forget_until(now.saturating_sub(age));
        }
    }

    fn read(&self, service: &str, since: Since, applied: u64) -> Result<EventBatch, Refusal> {
        let none = History::default();
        let history = self.services.get(service).unwrap_or(&none);
        match since {
            Since::Oldest => history.read(history.compacted),
            Since::After(position) => history.read(position),
            Since::Latest => Ok(EventBatch {
                events: Vec::new(),
                seen: EventPosition::end_of_entry(applied),
            }),
        }
    }
}

impl History {
    fn push(&mut self, index: u64, now: Duration, event: Bytes) {
        let ordinal = if self.last.index == index {
            self.last.ordinal + 1
        } else {
            0
        };
        self.last = EventPosition { index, ordinal };
        self.bytes += event.len() as u64 + OVERHEAD_BYTES;
        let at = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let kept = Kept {
            position: self.last,
            at,
            event,
        };
        self.events.insert(self.emitted, kept);
        self.emitted += 1;
    }

    fn shrink(&mut self, limit: u64) {
        // One that is larger than all of the room is kept until the next: whoever waits for it gets it.
        while self.bytes > limit && self.events.len() > 1 {
            self.drop_first();
        }
    }

    fn forget_until(&mut self, time: Duration) {
        let is_old = |kept: &Kept| Duration::from_nanos(kept.at) < time;
        while let Some((_, first)) = self.events.first_key_value()
            && is_old(first)
        {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some((_, kept)) = self.events.pop_first() {
            self.bytes -= kept.event.len() as u64 + OVERHEAD_BYTES;
            self.compacted = kept.position;
        }
    }

    /// The number of the first event after a place.
    fn number_after(&self, position: EventPosition) -> u64 {
        let (mut low, mut high) = (self.emitted - self.events.len() as u64, self.emitted);
        while low < high {
            let middle = low.midpoint(high);
            let is_after = |kept: &Kept| kept.position > position;
            if self.events.get(&middle).is_some_and(is_after) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    fn read(&self, after: EventPosition) -> Result<EventBatch, Refusal> {
        if after < self.compacted {
            return Err(self.compacted(after).into());
        }
        let mut batch = EventBatch {
            events: Vec::new(),
            seen: after,
        };
        let mut bytes = 0;
        for kept in self
            .events
            .range(self.number_after(after)..)
            .map(|(_, kept)| kept)
        {
            bytes += kept.event.len();
            let is_full = batch.events.len() >= MAX_BATCH_EVENTS || bytes > MAX_BATCH_BYTES;
            if is_full && !batch.events.is_empty() {
                break;
            }
            batch.events.push((kept.position, kept.event.clone()));
            batch.seen = kept.position;
        }
        Ok(batch)
    }

    fn compacted(&self, after: EventPosition) -> Error {
        let text = format!(
            "events after {after} are gone, up to {}: they are kept for a time and up to a size; \
             read the state anew and go on from there, or raise event_history_bytes and \
             event_history_age_ms",
            self.compacted
        );
        Error::new(ErrorKind::Compacted, Outcome::NotApplied, text)
    }
}

impl Replica {
    /// The next events of a service, not too many.
    pub(crate) fn events(&self, service: &str, since: Since) -> Result<EventBatch, Refusal> {
        super::find(&self.services, service)?;
        let applied = self.applied.map_or(0, |(_, index)| index);
        self.events.read(service, since, applied)
    }

    /// The index of the last log entry that emitted an event.
    pub(crate) fn last_event_index(&self) -> u64 {
        self.events.last_index()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn settings() -> Settings {
        Settings {
            event_history_bytes: 3 * (OVERHEAD_BYTES + 1),
            event_history_age_ms: 10_000,
            ..Settings::default()
        }
    }

    fn add(histories: &mut Histories, index: u64, count: usize) {
        let events = vec![Bytes::from_static(b"e"); count];
        let now = Duration::from_secs(index);
        histories.add("a", index, now, events, &settings());
    }

    fn read(histories: &Histories, since: Since) -> Result<Vec<(u64, u32)>, ErrorKind> {
        match histories.read("a", since, 99) {
            Ok(batch) => Ok(batch
                .events
                .iter()
                .map(|(position, _)| (position.index, position.ordinal))
                .collect()),
            Err(refusal) => Err(refusal.kind),
        }
    }

    fn after(index: u64, ordinal: u32) -> Since {
        Since::After(EventPosition { index, ordinal })
    }

    #[test]
    fn positions_count_within_an_entry_over_several_commands() {
        let mut histories = Histories::default();
        add(&mut histories, 4, 1);
        add(&mut histories, 4, 1);
        add(&mut histories, 6, 1);
        assert_eq!(
            read(&histories, Since::Oldest),
            Ok(vec![(4, 0), (4, 1), (6, 0)])
        );
        assert_eq!(read(&histories, after(4, 0)), Ok(vec![(4, 1), (6, 0)]));
        assert_eq!(read(&histories, after(5, 0)), Ok(vec![(6, 0)]));
        assert_eq!(read(&histories, after(9, 0)), Ok(vec![]));
        assert_eq!(histories.last_index(), 6);
    }

    #[test]
    fn what_is_gone_is_compacted_and_what_is_kept_is_read() {
        let mut histories = Histories::default();
        add(&mut histories, 4, 5);
        assert_eq!(read(&histories, after(0, 0)), Err(ErrorKind::Compacted));
        assert_eq!(read(&histories, after(4, 0)), Err(ErrorKind::Compacted));
        let kept = Ok(vec![(4, 2), (4, 3), (4, 4)]);
        assert_eq!(read(&histories, after(4, 1)), kept);
        assert_eq!(read(&histories, Since::Oldest), kept);
    }

    #[test]
    fn an_event_is_forgotten_by_log_time() {
        let mut histories = Histories::default();
        add(&mut histories, 4, 1);
        add(&mut histories, 6, 1);
        histories.forget_old(14 * SECOND, &settings());
        assert_eq!(read(&histories, Since::Oldest), Ok(vec![(4, 0), (6, 0)]));
        histories.forget_old(15 * SECOND, &settings());
        assert_eq!(read(&histories, Since::Oldest), Ok(vec![(6, 0)]));
        assert_eq!(read(&histories, after(0, 0)), Err(ErrorKind::Compacted));
        histories.forget_old(100 * SECOND, &settings());
        let history = &histories.services["a"];
        assert_eq!((history.bytes, history.events.len()), (0, 0));
        // Places go on where they were.
        add(&mut histories, 6, 1);
        assert_eq!(read(&histories, Since::Oldest), Ok(vec![(6, 1)]));
    }

    #[test]
    fn a_batch_is_bounded_and_says_where_to_go_on() {
        let mut histories = Histories::default();
        let events = vec![Bytes::from(vec![0; MAX_BATCH_BYTES / 2 + 1]); 3];
        let settings = Settings::default();
        histories.add("a", 1, SECOND, events, &settings);
        let batch = histories.read("a", Since::Oldest, 1).unwrap();
        assert_eq!(batch.events.len(), 1);
        let next = histories.read("a", Since::After(batch.seen), 1).unwrap();
        assert_eq!(
            next.events[0].0,
            EventPosition {
                index: 1,
                ordinal: 1
            }
        );
    }

    #[test]
    fn a_history_is_the_same_after_a_snapshot() {
        let mut histories = Histories::default();
        for index in 1..9 {
            add(&mut histories, index, 1);
        }
        let bytes = codec::encode(&histories).unwrap();
        let restored: Histories = codec::decode(&bytes).unwrap();
        assert_eq!(restored, histories);
        for index in 0..9 {
            let since = after(index, 0);
            assert_eq!(read(&restored, since), read(&histories, since));
        }
    }

    #[test]
    fn the_latest_begins_behind_what_is_applied() {
        let mut histories = Histories::default();
        add(&mut histories, 99, 2);
        let batch = histories.read("a", Since::Latest, 99).unwrap();
        assert!(batch.events.is_empty());
        assert_eq!(read(&histories, Since::After(batch.seen)), Ok(vec![]));
        add(&mut histories, 100, 1);
        assert_eq!(
            read(&histories, Since::After(batch.seen)),
            Ok(vec![(100, 0)])
        );
    }
}
