//! Between the messages about events and the types of the runtime.

use super::convert::{WireError, refusal_from, refusal_to};
use super::v1::{self, events_request};
use crate::error::Outcome;
use crate::event::{EventBatch, EventPosition, Since};
use crate::request::Refusal;

pub(crate) fn since_to(since: Since) -> events_request::Since {
    match since {
        Since::Oldest => events_request::Since::Oldest(v1::OldestEvent {}),
        Since::Latest => events_request::Since::Latest(v1::LatestEvent {}),
        Since::After(position) => events_request::Since::After(position_to(position)),
    }
}

pub(crate) fn since_from(since: Option<events_request::Since>) -> Result<Since, WireError> {
    Ok(match since.ok_or(WireError::NoStart)? {
        events_request::Since::Oldest(_) => Since::Oldest,
        events_request::Since::Latest(_) => Since::Latest,
        events_request::Since::After(position) => Since::After(position_from(position)),
    })
}

fn position_to(position: EventPosition) -> v1::EventPosition {
    v1::EventPosition {
        index: position.index,
        ordinal: position.ordinal,
    }
}

fn position_from(position: v1::EventPosition) -> EventPosition {
    EventPosition {
        index: position.index,
        ordinal: position.ordinal,
    }
}

/// A frame with what a node has to give.
pub(crate) fn frame_to(item: Result<EventBatch, Refusal>) -> v1::EventsFrame {
    match item {
        Ok(batch) => v1::EventsFrame {
            events: batch
                .events
                .into_iter()
                .map(|(position, event)| v1::Event {
                    position: Some(position_to(position)),
                    event,
                })
                .collect(),
            seen: Some(position_to(batch.seen)),
            ..v1::EventsFrame::default()
        },
        Err(refusal) => v1::EventsFrame {
            error: Some(refusal_to(refusal)),
            ..v1::EventsFrame::default()
        },
    }
}

/// What a frame holds. One that leaves out a position cannot be gone on from.
pub(crate) fn frame_from(frame: v1::EventsFrame) -> Result<EventBatch, Refusal> {
    if let Some(error) = frame.error {
        let refusal = refusal_from(error);
        // Reading events has no effect that could be unknown.
        return Err(Refusal {
            outcome: Outcome::NotApplied,
            ..refusal
        });
    }
    let incomplete = || Refusal::not_here("the node sent a frame without a position", None);
    let events = frame.events.into_iter().map(|event| {
        let position = event.position.ok_or_else(incomplete)?;
        Ok((position_from(position), event.event))
    });
    Ok(EventBatch {
        events: events.collect::<Result<_, Refusal>>()?,
        seen: position_from(frame.seen.ok_or_else(incomplete)?),
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::error::{Error, ErrorKind};

    const PLACE: EventPosition = EventPosition {
        index: 7,
        ordinal: 3,
    };

    #[test]
    fn starts_survive_the_wire_and_none_is_refused() {
        for since in [Since::Oldest, Since::Latest, Since::After(PLACE)] {
            assert_eq!(since_from(Some(since_to(since))), Ok(since));
        }
        assert_eq!(since_from(None), Err(WireError::NoStart));
    }

    #[test]
    fn batches_and_refusals_survive_the_wire() {
        let batch = EventBatch {
            events: vec![(PLACE, Bytes::from_static(b"e"))],
            seen: PLACE,
        };
        let read = frame_from(frame_to(Ok(batch.clone()))).unwrap();
        assert_eq!(read, batch);
        let gone = Error::new(ErrorKind::Compacted, Outcome::NotApplied, "gone");
        let refusal = frame_from(frame_to(Err(gone.into()))).unwrap_err();
        assert_eq!(refusal.kind, ErrorKind::Compacted);
    }

    #[test]
    fn a_frame_without_positions_is_none() {
        let no_end = v1::EventsFrame::default();
        let no_place = v1::EventsFrame {
            seen: Some(position_to(PLACE)),
            events: vec![v1::Event::default()],
            ..v1::EventsFrame::default()
        };
        assert!(frame_from(no_end).is_err());
        assert!(frame_from(no_place).is_err());
    }
}
