//! What went wrong, as a problem document (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::error::{Error, ErrorKind, Outcome};

/// Seconds after which a refused caller may try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// An answer that is none: status, what kind of failure, and what is known of its effect.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    kind: &'static str,
    outcome: Option<&'static str>,
    detail: String,
    /// JSON text: what the service itself answered.
    error: Option<Vec<u8>>,
    /// The methods that the path knows.
    allow: Option<&'static str>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
}

impl Problem {
    /// A request that never became a call.
    pub(crate) fn refused(status: StatusCode, detail: impl Into<String>) -> Self {
        Problem {
            status,
            kind: "rejected",
            outcome: Some("not_applied"),
            detail: detail.into(),
            error: None,
            allow: None,
        }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::refused(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::refused(StatusCode::NOT_FOUND, detail)
    }

    pub(crate) fn not_allowed(allow: &'static str, detail: impl Into<String>) -> Self {
        Problem {
            allow: Some(allow),
            ..Self::refused(StatusCode::METHOD_NOT_ALLOWED, detail)
        }
    }

    pub(crate) fn busy(detail: impl Into<String>) -> Self {
        Problem {
            kind: "busy",
            ..Self::refused(StatusCode::TOO_MANY_REQUESTS, detail)
        }
    }

    /// The `Err` of the service, as JSON. A command was carried out all the same.
    pub(crate) fn of_service(name: &str, is_command: bool, error: Vec<u8>) -> Self {
        Problem {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            kind: "service",
            outcome: is_command.then_some("applied"),
            detail: format!("{name} answered with an error of its own"),
            error: Some(error),
            allow: None,
        }
    }

    /// The document.
    pub(crate) fn document(&self) -> Vec<u8> {
        let document = Document {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: &self.detail,
            kind: self.kind,
            outcome: self.outcome,
        };
        let mut json = serde_json::to_vec(&document).expect("texts and a number");
        if let Some(error) = &self.error {
            json.pop();
            json.extend_from_slice(b",\"error\":");
            json.extend_from_slice(error);
            json.push(b'}');
        }
        json
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (status, kind) = match error.kind() {
            ErrorKind::Rejected => (StatusCode::BAD_REQUEST, "rejected"),
            ErrorKind::Busy => (StatusCode::TOO_MANY_REQUESTS, "busy"),
            ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            ErrorKind::UnknownOutcome => (StatusCode::GATEWAY_TIMEOUT, "unknown_outcome"),
            ErrorKind::SessionExpired => (StatusCode::SERVICE_UNAVAILABLE, "session_expired"),
            ErrorKind::Fatal => (StatusCode::SERVICE_UNAVAILABLE, "fatal"),
            ErrorKind::Fenced => (StatusCode::CONFLICT, "fenced"),
            ErrorKind::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "key_reused"),
            ErrorKind::Compacted => (StatusCode::GONE, "compacted"),
        };
        let (status, outcome) = match error.outcome() {
            Outcome::NotApplied => (status, "not_applied"),
            Outcome::Unknown => (status, "unknown"),
            // To send it again changes nothing: what is missing is its answer alone.
            Outcome::Applied => (StatusCode::CONFLICT, "applied"),
        };
        Problem {
            status,
            kind,
            outcome: Some(outcome),
            detail: error.to_string(),
            error: None,
            allow: None,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let content = [
            (header::CONTENT_TYPE, "application/problem+json"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        let mut response = (self.status, content, self.document()).into_response();
        let headers = response.headers_mut();
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if matches!(self.status.as_u16(), 429 | 503) {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn shown(problem: Problem) -> (u16, Value) {
        let json = serde_json::from_slice(&problem.document()).unwrap();
        (problem.into_response().status().as_u16(), json)
    }

    #[test]
    fn the_status_follows_the_kind_and_what_has_been_applied_is_not_to_be_repeated() {
        let cases = [
            (Error::rejected("x"), 400, "rejected", "not_applied"),
            (Error::busy("x"), 429, "busy", "not_applied"),
            (Error::unavailable("x"), 503, "unavailable", "not_applied"),
            (Error::unknown("x"), 504, "unknown_outcome", "unknown"),
            (Error::fatal("x"), 503, "fatal", "not_applied"),
            (Error::fenced("x"), 409, "fenced", "not_applied"),
            (
                Error::new(ErrorKind::KeyReused, Outcome::NotApplied, "x"),
                422,
                "key_reused",
                "not_applied",
            ),
            (
                Error::new(ErrorKind::UnknownOutcome, Outcome::Applied, "x"),
                409,
                "unknown_outcome",
                "applied",
            ),
        ];
        for (error, status, kind, outcome) in cases {
            let (found, document) = shown(error.into());
            assert_eq!(found, status, "{document}");
            assert_eq!(document["status"], status);
            assert_eq!(document["kind"], kind);
            assert_eq!(document["outcome"], outcome);
            assert_eq!(document["detail"], "x");
        }
    }

    #[test]
    fn the_error_of_a_service_stands_in_it_as_it_was_written() {
        let problem = Problem::of_service("A.b", true, b"{\"left\":18446744073709551615}".to_vec());
        let (status, document) = shown(problem);
        assert_eq!((status, &document["kind"]), (422, &json!("service")));
        assert_eq!(document["error"], json!({ "left": u64::MAX }));
    }
}
