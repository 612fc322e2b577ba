//! braft's errors as HTTP answers.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::error::{Error, ErrorKind, Outcome};

/// An answer with `error` and `outcome`: `rejected`, `busy`, `unavailable` or `unknown`.
pub fn error_response(error: &Error) -> Response {
    let (status, kind) = match error.kind() {
        ErrorKind::Rejected => (StatusCode::BAD_REQUEST, "rejected"),
        ErrorKind::Busy => (StatusCode::TOO_MANY_REQUESTS, "busy"),
        ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        ErrorKind::UnknownOutcome => (StatusCode::GATEWAY_TIMEOUT, "unknown"),
        ErrorKind::SessionExpired | ErrorKind::Fenced => (StatusCode::CONFLICT, "rejected"),
        ErrorKind::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "rejected"),
        ErrorKind::Compacted => (StatusCode::GONE, "rejected"),
        ErrorKind::Fatal => (StatusCode::INTERNAL_SERVER_ERROR, "unavailable"),
    };
    // Whatever may have had an effect is not said to be refused.
    let outcome = match error.outcome() {
        Outcome::NotApplied => kind,
        Outcome::Unknown | Outcome::Applied => "unknown",
    };
    (
        status,
        Json(json!({ "error": error.to_string(), "outcome": outcome })),
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_status_and_what_may_have_happened_is_said() {
        let cases = [
            (Error::rejected("x"), 400),
            (Error::busy("x"), 429),
            (Error::unavailable("x"), 503),
            (Error::unknown("x"), 504),
            (Error::fatal("x"), 500),
            (Error::fenced("x"), 409),
        ];
        for (error, status) in cases {
            assert_eq!(
                error_response(&error).status().as_u16(),
                status,
                "{error:?}"
            );
        }
    }
}
