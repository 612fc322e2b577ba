//! The spans of one command as a collector gets them, from all nodes: where they belong, and what they do not bear.

use std::sync::{Arc, Mutex, PoisonError};

use braft::testing::TestResult;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Plain;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::nodes::Nodes;
use crate::run;

/// The trace and the span that the request says it belongs to.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
/// What nobody else would write, in the arguments and in the idempotency key.
const SECRET: &str = "marked-word-of-a-caller";
const NODES: usize = 3;

/// Takes spans, with the names of the programs that have sent them.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(String, Span)>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for program in request.into_inner().resource_spans {
            let resource = program.resource.unwrap_or_default();
            let name = field(&resource.attributes, "service.name").unwrap_or_default();
            let spans = program
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans);
            all.extend(spans.map(|span| (name.clone(), span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    fn of(&self, name: &str) -> Vec<Span> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let named = all.iter().filter(|(_, span)| span.name == name);
        named.map(|(_, span)| span.clone()).collect()
    }
}

fn text(value: &AnyValue) -> String {
    match &value.value {
        Some(Plain::StringValue(text)) => text.clone(),
        Some(Plain::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn field(fields: &[KeyValue], name: &str) -> Option<String> {
    let found = fields.iter().find(|field| field.key == name)?;
    found.value.as_ref().map(text)
}

fn of(span: &Span, name: &str) -> Option<String> {
    field(&span.attributes, name)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A command over HTTP that belongs to the trace.
async fn pin(address: &str) -> TestResult<String> {
    let body = format!(r#"{{"text":"{SECRET}","color":"White","at":{{"x":1,"y":2}}}}"#);
    let request = format!(
        "POST /v1/Board/pin HTTP/1.1\r\nhost: node\r\nconnection: close\r\ncontent-type: application/json\r\n\
         traceparent: 00-{TRACE}-{CALLER}-01\r\nidempotency-key: {SECRET}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[test]
fn one_command_is_one_trace_in_the_collector_with_its_request_id_and_without_its_payload() {
    run(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let collector = Collector::default();
        let service = TraceServiceServer::new(collector.clone());
        let incoming = TcpIncoming::from(listener);
        tokio::spawn(
            Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming),
        );

        // As docs/tracing.md has it; and what is left is sent often, since nobody waits for the end.
        let settings = vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
            ("OTEL_SERVICE_NAME", "orders".to_owned()),
            ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned()),
        ];
        let nodes = Nodes::start_with(NODES, settings).await?;
        let other = (nodes.leader().await? + 1) % NODES;
        let address = nodes.addresses()[other].replace(":15000", ":15002");
        let answer = pin(&address).await?;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

        // In the order of the call: each is in, or follows from, the one before.
        let child_of = |name: &'static str, parent: String| {
            let collector = &collector;
            nodes.wait(name, move || {
                let mut spans = collector.of(name).into_iter();
                // An attempt that was refused has been repeated.
                let is_answered =
                    |span: &Span| of(span, "outcome").is_none_or(|what| what == "answered");
                let found = spans.find(|span| {
                    let is_child = hex(&span.parent_span_id) == parent;
                    hex(&span.trace_id) == TRACE && is_child && is_answered(span)
                });
                std::future::ready(found)
            })
        };
        let http = child_of("http", CALLER.to_owned()).await?;
        let command = child_of("command", hex(&http.span_id)).await?;
        let serve = child_of("serve", hex(&command.span_id)).await?;
        assert_eq!(of(&http, "method").as_deref(), Some("pin"));
        for name in ["session", "sequence"] {
            let id = of(&command, name);
            assert!(id.is_some(), "{command:?}");
            assert_eq!(of(&serve, name), id, "{name}");
        }
        assert_eq!(of(&serve, "outcome").as_deref(), Some("answered"));

        // An entry may hold the commands of many: it is linked to each.
        let entry = nodes
            .wait("the entry", || {
                let mut spans = collector.of("entry").into_iter();
                let is_linked = |span: &Span| {
                    let mut links = span.links.iter();
                    links.any(|link| {
                        link.trace_id == serve.trace_id && link.span_id == serve.span_id
                    })
                };
                std::future::ready(spans.find(is_linked))
            })
            .await?;
        let index = of(&entry, "index").ok_or("an entry without a place")?;
        let number = |span: &Span, name: &str| of(span, name)?.parse::<u64>().ok();
        let at: u64 = index.parse()?;
        // Written and carried out by each node.
        nodes
            .wait("all replicas", || {
                let covers = |span: &&Span| {
                    number(span, "first").is_some_and(|first| first <= at)
                        && number(span, "last").is_some_and(|last| last >= at)
                };
                let synced = collector.of("sync").iter().filter(covers).count();
                let applied = collector.of("apply");
                let applied = applied
                    .iter()
                    .filter(|span| of(span, "index") == Some(index.clone()));
                let is_all = synced >= NODES && applied.count() >= NODES;
                std::future::ready(is_all.then_some(()))
            })
            .await?;

        let all = collector.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [decimal, hexadecimal] = [
            SECRET
                .bytes()
                .map(|byte| byte.to_string())
                .collect::<Vec<_>>()
                .join(", "),
            hex(SECRET.as_bytes()),
        ];
        for (program, span) in all.iter() {
            assert_eq!(program, "orders");
            let shown = format!("{span:?}");
            for secret in [SECRET, &decimal, &hexadecimal] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
        Ok(())
    });
}
