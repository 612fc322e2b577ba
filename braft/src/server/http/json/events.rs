//! The events of a service as server-sent events.
//!
//! Each has its position as `id`, so that a browser that connects anew goes on behind the last one.
//! What ends a stream is its last event, of the name `compacted` or `problem`, with a problem document.
//! Whoever reads slowly is waited for: events are read from the state as they are asked for.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};

use super::door::Door;
use super::options::after;
use super::problem::Problem;
use crate::access::{Grant, Role};
use crate::error::{Error, ErrorKind, Outcome};
use crate::event::{EventBatch, EventSource};
use crate::json::{Form, JsonService};
use crate::request::{Gateway, Refusal};

/// How often a stream without events says that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// `GET /v1/{service}/events?after=position`.
pub(super) async fn events(
    door: &Arc<Door>,
    service: &JsonService,
    uri: &Uri,
    headers: &HeaderMap,
    grant: Option<Arc<Grant>>,
) -> Result<Response, Problem> {
    let form = service
        .event
        .ok_or_else(|| Problem::not_found(format!("service {} emits no events", service.name)))?;
    let since = after(uri, headers)?;
    let mut source = door.core().events(service.name, since);
    // The first batch comes at once: what cannot begin is refused by its status.
    let first = match source.next().await {
        Some(first) => first.map_err(Error::from)?,
        None => return Err(Error::unavailable("this node is stopping").into()),
    };
    let batches = stream::once(std::future::ready(Ok(first))).chain(source);
    let stopped = door.stopping().cancelled_owned();
    // A token that is withdrawn ends the stream.
    let is_good = move || grant.as_ref().is_none_or(|grant| grant.may(Role::Read));
    let events = texts(batches.boxed(), form).take_until(stopped);
    let events = events.take_while(move |_| std::future::ready(is_good()));
    let events = events.map(Ok::<_, Infallible>);
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    let mut response = events.into_response();
    // Proxies would wait for more.
    let no_buffer = HeaderValue::from_static("no");
    response
        .headers_mut()
        .insert("x-accel-buffering", no_buffer);
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    Ok(response)
}

fn texts(batches: EventSource, form: Form) -> impl Stream<Item = Event> {
    let parts = batches.flat_map(move |batch| {
        let (events, end) = match batch {
            Ok(batch) => batch_texts(batch, form),
            Err(refusal) => (Vec::new(), Some(refusal)),
        };
        let events = events.into_iter().map(Some);
        let end = end.map(last).into_iter().flat_map(|end| [Some(end), None]);
        stream::iter(events.chain(end).collect::<Vec<_>>())
    });
    // Nothing follows the last one.
    parts
        .take_while(|event| std::future::ready(event.is_some()))
        .filter_map(std::future::ready)
}

/// The events of a batch up to one that cannot be written.
fn batch_texts(batch: EventBatch, form: Form) -> (Vec<Event>, Option<Refusal>) {
    let mut events = Vec::with_capacity(batch.events.len());
    for (position, bytes) in batch.events {
        match form.write(&bytes, Outcome::NotApplied) {
            Ok(written) => {
                let text = String::from_utf8_lossy(&written.json);
                events.push(Event::default().id(position.to_string()).data(text));
            }
            Err(error) => return (events, Some(error.into())),
        }
    }
    (events, None)
}

/// What ends a stream.
fn last(refusal: Refusal) -> Event {
    let name = match refusal.kind {
        ErrorKind::Compacted => "compacted",
        _ => "problem",
    };
    let document = Problem::from(Error::from(refusal)).document();
    Event::default()
        .event(name)
        .data(String::from_utf8_lossy(&document))
}
