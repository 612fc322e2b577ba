//! Where a whole program's log lines and spans go, if it has not said so itself.

use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// What is logged where `RUST_LOG` says nothing.
const LINES: &str = "info,openraft=error,h2=warn,hyper=warn,tonic=warn";

/// Log lines on standard error; and spans to a collector, with the feature `otel` and where one is
/// configured. A program that has set up its own subscriber keeps that.
pub(crate) fn start() -> Spans {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LINES));
    let registry = tracing_subscriber::registry();
    let (spans, exported) = exported();
    // One filter for all, where one will do: with a filter for each layer, every span and line that
    // nobody wants is asked about again each time.
    let started = match exported {
        None => registry.with(filter).with(lines()).try_init(),
        Some(exported) => {
            let lines = lines().with_filter(filter);
            registry.with(lines).with(exported).try_init()
        }
    };
    // An error means that the program has set up its own.
    drop(started);
    spans
}

fn lines<S>() -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
}

#[cfg(not(feature = "otel"))]
pub(crate) use without::Spans;
#[cfg(not(feature = "otel"))]
use without::exported;

#[cfg(not(feature = "otel"))]
mod without {
    use tracing_subscriber::layer::Identity;

    /// Spans go nowhere.
    #[derive(Debug)]
    pub(crate) struct Spans;

    pub(super) fn exported() -> (Spans, Option<Identity>) {
        (Spans, None)
    }

    impl Spans {
        pub(crate) fn finish(&self) {}
    }
}

#[cfg(feature = "otel")]
pub(crate) use export::Spans;
#[cfg(feature = "otel")]
use export::exported;

#[cfg(feature = "otel")]
mod export {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_otlp::SpanExporter;
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing::Subscriber;
    use tracing_subscriber::registry::LookupSpan;
    use tracing_subscriber::{EnvFilter, Layer};

    /// The variables that name a collector, as OpenTelemetry has them.
    const ENDPOINTS: [&str; 2] = [
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ];
    /// Spans of braft and of the program. What the exporter's own connection does is left out: it would
    /// be exported in turn.
    const EXPORTED: &str =
        "info,braft=debug,opentelemetry=off,h2=off,hyper=off,tonic=off,tower=off";

    /// The way to the collector, if there is one.
    #[derive(Debug)]
    pub(crate) struct Spans(Option<SdkTracerProvider>);

    pub(super) fn exported<S>() -> (Spans, Option<impl Layer<S>>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let provider = provider();
        let layer = provider.as_ref().map(|provider| {
            let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("braft"));
            layer.with_filter(EnvFilter::new(EXPORTED))
        });
        (Spans(provider), layer)
    }

    /// A provider that exports by gRPC to where the environment says.
    fn provider() -> Option<SdkTracerProvider> {
        let is_set = |name: &&&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        ENDPOINTS.iter().find(is_set)?;
        match SpanExporter::builder().with_tonic().build() {
            Ok(exporter) => {
                let named = std::env::var("OTEL_SERVICE_NAME");
                let resource = Resource::builder();
                let resource = match named {
                    Ok(_) => resource,
                    Err(_) => resource.with_service_name("braft"),
                };
                let provider = SdkTracerProvider::builder().with_batch_exporter(exporter);
                Some(provider.with_resource(resource.build()).build())
            }
            Err(error) => {
                // There is no subscriber yet.
                eprintln!("spans are not exported: {error}; see OTEL_EXPORTER_OTLP_ENDPOINT");
                None
            }
        }
    }

    impl Spans {
        /// Sends what is left.
        pub(crate) fn finish(&self) {
            if let Some(provider) = &self.0
                && let Err(error) = provider.shutdown()
            {
                tracing::debug!(%error, "the last spans were not exported");
            }
        }
    }
}
