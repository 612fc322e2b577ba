//! Where a call comes from: how its spans on several nodes become one trace.
//!
//! Spans are `tracing`'s, at debug level: `command` and `query` in the client, `serve` on the node that
//! answers, `entry` from the proposal of a log entry until it is applied, `sync` in the log, `apply`.
//! Where no subscriber wants them they are a comparison each. A context travels with a call in builds
//! with the feature `otel` alone; others pass on what they are given.

/// The length of a context: trace id, span id, flags.
const BYTES: usize = 16 + 8 + 1;

/// The trace that a call belongs to, and the span that made it.
///
/// Source: W3C, "Trace Context", level 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceContext([u8; BYTES]);

impl TraceContext {
    /// The same as a peer sent it; `None` where it sent none, or none that means something.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes = <[u8; BYTES]>::try_from(bytes).ok()?;
        let has_ids = bytes[..16] != [0; 16] && bytes[16..24] != [0; 8];
        has_ids.then_some(TraceContext(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A `traceparent` header: `00-{trace id}-{span id}-{flags}`, in hexadecimal digits.
    #[cfg(feature = "http")]
    pub(crate) fn from_header(text: &str) -> Option<Self> {
        let (version, rest) = text.split_once('-')?;
        // Later versions may have more behind what the first one has.
        let has_length = match version {
            "00" => rest.len() == 2 * BYTES + 2,
            "ff" => false,
            later => later.len() == 2 && rest.len() >= 2 * BYTES + 2,
        };
        if !has_length {
            return None;
        }
        let mut digits = String::with_capacity(2 * BYTES);
        for (length, part) in [32, 16, 2].into_iter().zip(rest.split('-')) {
            if part.len() != length {
                return None;
            }
            digits.push_str(part);
        }
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if digits.len() != 2 * BYTES || !digits.bytes().all(is_hex) {
            return None;
        }
        let byte = |at: usize| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok();
        let bytes: Option<Vec<u8>> = (0..BYTES).map(byte).collect();
        Self::from_bytes(&bytes?)
    }

    /// The context of the present span, if it belongs to a trace.
    #[cfg(not(feature = "otel"))]
    pub(crate) fn current() -> Option<Self> {
        None
    }

    /// Makes a span a part of this trace.
    #[cfg(not(feature = "otel"))]
    pub(crate) fn adopt(self, _span: &tracing::Span) {}
}

#[cfg(feature = "otel")]
mod opentelemetry {
    use opentelemetry::trace::{
        SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    };
    use tracing::Span;
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    use super::{BYTES, TraceContext};

    impl TraceContext {
        /// The context of the present span, if it belongs to a trace.
        pub(crate) fn current() -> Option<Self> {
            let span = Span::current();
            if span.is_none() {
                return None;
            }
            let context = span.context();
            let span = context.span();
            let span = span.span_context();
            if !span.is_valid() {
                return None;
            }
            let mut bytes = [0; BYTES];
            bytes[..16].copy_from_slice(&span.trace_id().to_bytes());
            bytes[16..24].copy_from_slice(&span.span_id().to_bytes());
            bytes[24] = span.trace_flags().to_u8();
            Some(TraceContext(bytes))
        }

        /// Makes a span a part of this trace.
        pub(crate) fn adopt(self, span: &Span) {
            let (ids, flags) = self.0.split_at(24);
            let (trace_id, span_id) = ids.split_at(16);
            let context = SpanContext::new(
                TraceId::from_bytes(trace_id.try_into().expect("its length is fixed")),
                SpanId::from_bytes(span_id.try_into().expect("its length is fixed")),
                TraceFlags::new(flags[0]),
                true,
                TraceState::default(),
            );
            let parent = opentelemetry::Context::new().with_remote_span_context(context);
            // Refused once the span has begun in the exporter: then it stays a trace of its own.
            drop(span.set_parent(parent));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_context_is_none() {
        let mut bytes = [7; BYTES];
        let context = TraceContext::from_bytes(&bytes).expect("it has ids");
        assert_eq!(TraceContext::from_bytes(context.as_bytes()), Some(context));
        assert_eq!(TraceContext::from_bytes(&bytes[1..]), None);
        assert_eq!(TraceContext::from_bytes(&[]), None);
        bytes[16..24].fill(0);
        assert_eq!(TraceContext::from_bytes(&bytes), None);
    }

    #[cfg(feature = "otel")]
    #[test]
    fn a_span_on_another_node_is_a_part_of_its_callers_trace() {
        use ::opentelemetry::trace::TracerProvider as _;
        use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
        use tracing_subscriber::layer::SubscriberExt;

        let exporter = InMemorySpanExporter::default();
        // Kept to the end: with the last handle on it the spans are gone.
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone());
        let provider = provider.build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(layer);
        assert_eq!(TraceContext::current(), None);
        tracing::subscriber::with_default(subscriber, || {
            let command = tracing::debug_span!("command");
            let sent = command.in_scope(TraceContext::current).expect("a trace");
            let received = TraceContext::from_bytes(sent.as_bytes()).expect("the same");
            let serve = tracing::debug_span!("serve");
            received.adopt(&serve);
            assert_ne!(serve.in_scope(TraceContext::current), Some(sent));
        });
        let spans = exporter.get_finished_spans().expect("they are kept");
        let span = |name: &str| spans.iter().find(|span| span.name == name).expect(name);
        let (command, serve) = (span("command"), span("serve"));
        assert_eq!(serve.parent_span_id, command.span_context.span_id());
        let [ours, theirs] = [serve, command].map(|span| span.span_context.trace_id());
        assert_eq!(ours, theirs);
    }

    #[cfg(feature = "http")]
    #[test]
    fn a_header_is_read_as_the_standard_has_it() {
        let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = TraceContext::from_header(header).expect("from the standard");
        assert_eq!(context.as_bytes()[..2], [0x0a, 0xf7]);
        assert_eq!(context.as_bytes()[24], 1);
        let later = header.replacen("00", "01", 1);
        assert_eq!(
            TraceContext::from_header(&format!("{later}-more")),
            Some(context)
        );
        for wrong in [
            "",
            "00",
            &header[..header.len() - 1],
            &format!("{header}-more"),
            &header.to_uppercase(),
            &header.replacen("00", "ff", 1),
            &header.replace('a', "ä"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        ] {
            assert_eq!(TraceContext::from_header(wrong), None, "{wrong}");
        }
    }
}
