//! A call, from request to response.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::door::{self, Door};
use super::events::events;
use super::foreign::is_foreign;
use super::options::{Parameters, key, timeout};
use super::position::{self, POSITION};
use super::problem::Problem;
use crate::access::{Grant, Role};
use crate::call::{Operation, Place, Request};
use crate::error::Outcome;
use crate::json::{Arguments, JsonOperation, JsonService};
use crate::request::check_size;
use crate::trace::TraceContext;

/// The trace that a request belongs to.
const TRACE_PARENT: &str = "traceparent";
/// Where the events of a service are, in the place of a method.
const EVENTS: &str = "events";

/// `POST /v1/{service}/{method}`, and `GET` for queries.
pub(super) async fn call(
    State(door): State<Arc<Door>>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: axum::extract::Request,
) -> Response {
    let answered = match path {
        Ok(Path((service, method))) => {
            let span = span(&door, (&service, &method), request.headers());
            let answering = answer(&door, (&service, &method), request);
            answering.instrument(span).await
        }
        Err(error) => Err(Problem::bad_request(error.body_text())),
    };
    answered.unwrap_or_else(IntoResponse::into_response)
}

/// The span of a call, in the trace of whoever sent it. None for a name that is the sender's own.
fn span(door: &Door, (service, method): (&str, &str), headers: &HeaderMap) -> Span {
    let service = door.service(service).ok();
    let called = service.and_then(|service| Some((service, service.operation(method)?)));
    let Some((service, operation)) = called else {
        return Span::none();
    };
    let (service, method) = (service.name, operation.method.name);
    let span = tracing::debug_span!("http", service, method);
    if span.is_disabled() {
        return span;
    }
    let parent = headers
        .get(TRACE_PARENT)
        .and_then(|text| text.to_str().ok());
    if let Some(parent) = parent.and_then(TraceContext::from_header) {
        parent.adopt(&span);
    }
    span
}

async fn answer(
    door: &Arc<Door>,
    (service, method): (&str, &str),
    request: axum::extract::Request,
) -> Result<Response, Problem> {
    let service = door.service(service)?;
    // A method of this name is called by POST.
    if method == EVENTS && request.method() == Method::GET {
        let grant = request.extensions().get::<Arc<Grant>>().cloned();
        return events(door, service, request.uri(), request.headers(), grant).await;
    }
    let operation = service.operation(method).ok_or_else(|| {
        let methods = door::methods(service);
        let text = format!(
            "service {} has no method {method:?}; it has {methods}",
            service.name
        );
        Problem::not_found(text)
    })?;
    if operation.method.is_command {
        may_write(&request)?;
    }
    let allowed = timeout(request.headers())?;
    // A query changes nothing: it may be repeated as it is.
    let key = if operation.method.is_command {
        key(request.headers())?
    } else {
        None
    };
    let deadline = Instant::now() + allowed;
    // A node that is in no cluster yet may be in one when it answers.
    let cluster_id = || door.core().peers().cluster_id().unwrap_or_default();
    let seen = Arc::new(Place::at(position::read(request.headers(), cluster_id())?));
    let _entered = door.enter()?;
    let (payload, kind) = read(door, service, operation, request, deadline).await?;
    let answer = door.send(Request {
        service: service.name,
        operation: kind,
        payload: payload.into(),
        key,
        deadline: Some(left(deadline)),
        place: Some(Arc::clone(&seen)),
    });
    let answer = answer.await?;
    let is_command = operation.method.is_command;
    let outcome = if is_command {
        Outcome::Applied
    } else {
        Outcome::NotApplied
    };
    let written = operation.answer.write(&answer, outcome)?;
    let mut response = if written.is_err {
        let name = format!("{}.{}", service.name, operation.method.name);
        Problem::of_service(&name, is_command, written.json).into_response()
    } else {
        let headers = [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        (headers, written.json).into_response()
    };
    if let Some(position) = position::write(seen.index(), cluster_id()) {
        response.headers_mut().insert(POSITION, position);
    }
    Ok(response)
}

/// Refuses a command of a caller whose token is for reading. Where there are no tokens, there is none.
fn may_write(request: &axum::extract::Request) -> Result<(), Problem> {
    let grant = request.extensions().get::<Arc<Grant>>();
    match grant.filter(|grant| !grant.may(Role::Write)) {
        Some(grant) => {
            let why = grant.refusal("a command", Role::Write);
            Err(Problem::refused(StatusCode::FORBIDDEN, why))
        }
        None => Ok(()),
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// The call that a request asks for.
async fn read(
    door: &Door,
    service: &JsonService,
    operation: &JsonOperation,
    request: axum::extract::Request,
    deadline: Instant,
) -> Result<(Vec<u8>, Operation), Problem> {
    let parameters = Parameters::of(request.uri())?;
    let kind = kind(operation, &parameters)?;
    let payload = match *request.method() {
        Method::GET | Method::HEAD if operation.method.is_command => {
            let text = format!("{} changes the state: use POST", operation.method.name);
            return Err(Problem::not_allowed("POST", text));
        }
        Method::GET | Method::HEAD => match &parameters.args {
            None => operation.read(Arguments::Flat(&parameters.flat)),
            Some(args) if parameters.flat.is_empty() => {
                operation.read(Arguments::Object(args.as_bytes()))
            }
            Some(_) => Err("they are given both by name and as args".to_owned()),
        },
        Method::POST => {
            check_post(request.headers())?;
            if let Some((name, _)) = parameters.flat.first() {
                let text = format!("unknown parameter {name:?}: the arguments stand in the body");
                return Err(Problem::bad_request(text));
            }
            if parameters.args.is_some() {
                return Err(Problem::bad_request(
                    "args is for GET: put them in the body",
                ));
            }
            let body = door.body(request, deadline).await?;
            operation.read(Arguments::Object(&body))
        }
        _ => {
            let allow = if operation.method.is_command {
                "POST"
            } else {
                "GET, HEAD, POST"
            };
            return Err(Problem::not_allowed(allow, format!("use {allow}")));
        }
    };
    let payload = payload.map_err(|why| {
        let name = format!("{}.{}", service.name, operation.method.name);
        let takes = door::arguments(operation);
        Problem::bad_request(format!("the arguments of {name}: {why}; it takes {takes}"))
    })?;
    check_size(&payload)
        .map_err(|error| Problem::refused(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()))?;
    Ok((payload, kind))
}

fn kind(operation: &JsonOperation, parameters: &Parameters) -> Result<Operation, Problem> {
    if !operation.method.is_command {
        let level = parameters.level()?.unwrap_or_default();
        return Ok(Operation::Query(level));
    }
    if parameters.reads() {
        let text = "read and max_age are for queries, and this is a command";
        return Err(Problem::bad_request(text));
    }
    Ok(Operation::Command { fence: None })
}

/// What a POST must be before its body is looked at.
fn check_post(headers: &HeaderMap) -> Result<(), Problem> {
    if is_foreign(headers) {
        let text = "a page of another origin sends this; only programs and this node's pages may";
        return Err(Problem::refused(StatusCode::FORBIDDEN, text));
    }
    let Some(content) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let essence = content.to_str().unwrap_or_default().split(';').next();
    let essence = essence.unwrap_or_default().trim();
    let is_json = essence.eq_ignore_ascii_case("application/json");
    is_json.then_some(()).ok_or_else(|| {
        let text = "send JSON, and say so: content-type: application/json (curl --json '{…}')";
        Problem::refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
    })
}
