//! Calls by method: how many, with which outcome, and how long they took.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::time::Instant;
use tracing::Span;
use tracing::field::Empty;

use super::histogram::Histogram;
use crate::codec;
use crate::error::ErrorKind;
use crate::service::Method;

/// What becomes of a call, as it is labelled. The service's own error is an answer.
pub(crate) const OUTCOMES: [&str; 10] = [
    "answered",
    "rejected",
    "busy",
    "unavailable",
    "unknown",
    "session_expired",
    "fenced",
    "key_reused",
    "compacted",
    "fatal",
];

/// The calls that one node has answered or refused itself.
#[derive(Debug, Default)]
pub(crate) struct CallsFigures {
    services: Vec<(&'static str, Vec<Arc<MethodCalls>>)>,
    forwarded: AtomicU64,
}

/// The calls of one method.
#[derive(Debug)]
pub(crate) struct MethodCalls {
    pub(crate) service: &'static str,
    pub(crate) method: Method,
    outcomes: [AtomicU64; OUTCOMES.len()],
    /// How long those took that were answered.
    pub(crate) answered: Histogram,
    /// How long those took that were not.
    pub(crate) failed: Histogram,
}

/// One call on its way. Dropped before its end, its outcome is unknown.
#[derive(Debug)]
pub(crate) struct Meter {
    /// Taken at the end.
    method: Option<Arc<MethodCalls>>,
    begun: Instant,
    /// From its arrival here until its end.
    span: Span,
}

impl CallsFigures {
    /// Room for the calls of these services.
    pub(crate) fn of(services: impl Iterator<Item = (&'static str, &'static [Method])>) -> Self {
        let services = services.map(|(service, methods)| {
            let methods = methods.iter();
            let methods = methods.map(|method| Arc::new(MethodCalls::new(service, *method)));
            (service, methods.collect())
        });
        CallsFigures {
            services: services.collect(),
            forwarded: AtomicU64::new(0),
        }
    }

    /// Begins to measure a call of a command or query; `None` if no method is known by its name.
    pub(crate) fn begin(&self, service: &str, payload: &Bytes, now: Instant) -> Option<Meter> {
        let name = codec::operation(payload)?;
        // Few services with few methods: to compare them costs less than to hash a name.
        let (_, methods) = self.services.iter().find(|(known, _)| *known == service)?;
        let is_it = |known: &&Arc<MethodCalls>| known.method.name.as_bytes() == name;
        let method = methods.iter().find(is_it)?;
        Some(Meter {
            span: tracing::debug_span!(
                "serve",
                service = method.service,
                method = method.method.name,
                session = Empty,
                sequence = Empty,
                outcome = Empty
            ),
            method: Some(method.clone()),
            begun: now,
        })
    }

    pub(crate) fn note_forwarded(&self, calls: usize) {
        self.forwarded.fetch_add(calls as u64, Ordering::Relaxed);
    }

    /// Calls that were passed on to the leader.
    pub(crate) fn forwarded(&self) -> u64 {
        self.forwarded.load(Ordering::Relaxed)
    }

    pub(crate) fn methods(&self) -> impl Iterator<Item = &MethodCalls> {
        let all = self.services.iter().flat_map(|(_, methods)| methods);
        all.map(|method| &**method)
    }
}

impl MethodCalls {
    fn new(service: &'static str, method: Method) -> Self {
        MethodCalls {
            service,
            method,
            outcomes: Default::default(),
            answered: Histogram::default(),
            failed: Histogram::default(),
        }
    }

    /// How many calls had each of the [`OUTCOMES`].
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.outcomes.iter();
        let counts = counts.map(|count| count.load(Ordering::Relaxed));
        OUTCOMES.into_iter().zip(counts)
    }
}

impl Meter {
    /// The call's span; disabled unless somebody wants it.
    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// The call was answered, or refused as this.
    pub(crate) fn end(mut self, refused: Option<ErrorKind>, now: Option<Instant>) {
        self.count(refused.map_or(0, place), now);
    }

    /// Counts nothing.
    pub(crate) fn forget(mut self) {
        self.method = None;
    }

    fn count(&mut self, outcome: usize, now: Option<Instant>) {
        let Some(method) = self.method.take() else {
            return;
        };
        self.span.record("outcome", OUTCOMES[outcome]);
        method.outcomes[outcome].fetch_add(1, Ordering::Relaxed);
        let times = if outcome == 0 {
            &method.answered
        } else {
            &method.failed
        };
        let now = now.unwrap_or_else(Instant::now);
        times.record(now.saturating_duration_since(self.begun));
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.count(place(ErrorKind::UnknownOutcome), None);
    }
}

/// The place of a kind among the [`OUTCOMES`].
fn place(kind: ErrorKind) -> usize {
    match kind {
        ErrorKind::Rejected => 1,
        ErrorKind::Busy => 2,
        ErrorKind::Unavailable => 3,
        ErrorKind::UnknownOutcome => 4,
        ErrorKind::SessionExpired => 5,
        ErrorKind::Fenced => 6,
        ErrorKind::KeyReused => 7,
        ErrorKind::Compacted => 8,
        ErrorKind::Fatal => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls() -> CallsFigures {
        let methods = ["add", "r#type"].map(|name| Method::__new(name, true, ""));
        let methods = methods.map(|method| Arc::new(MethodCalls::new("Counter", method)));
        CallsFigures {
            services: vec![("Counter", methods.into())],
            forwarded: AtomicU64::new(0),
        }
    }

    fn payload(name: &str) -> Bytes {
        let call = std::collections::BTreeMap::from([(name, 1)]);
        codec::encode(&call).expect("a map has a form").into()
    }

    #[test]
    fn a_call_counts_once_under_its_method_and_its_outcome() {
        let calls = calls();
        let begin = |name| calls.begin("Counter", &payload(name), Instant::now());
        begin("add").expect("known").end(None, None);
        begin("r#type")
            .expect("known")
            .end(Some(ErrorKind::Busy), None);
        begin("add")
            .expect("known")
            .end(Some(ErrorKind::Fatal), None);
        // Nobody answered it.
        drop(begin("add"));
        assert!(begin("ad").is_none() && begin("").is_none());
        assert!(
            calls
                .begin("Count", &payload("add"), Instant::now())
                .is_none()
        );
        assert!(
            calls
                .begin("Counter", &Bytes::new(), Instant::now())
                .is_none()
        );
        let counted = calls.methods().map(|method| {
            let outcomes = method.outcomes().filter(|(_, count)| *count > 0);
            let times = [&method.answered, &method.failed].map(|times| times.counts().total());
            (method.method.name, outcomes.collect::<Vec<_>>(), times)
        });
        let expected = vec![
            (
                "add",
                vec![("answered", 1), ("unknown", 1), ("fatal", 1)],
                [1, 2],
            ),
            ("r#type", vec![("busy", 1)], [0, 1]),
        ];
        assert_eq!(counted.collect::<Vec<_>>(), expected);
    }
}
