//! What describes the services: for programs, and for people.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::door::Door;
use super::openapi::document;
use super::problem::Problem;
use crate::error::Error;

/// A page of its own: it asks nobody but this node for anything.
const PAGE: &str = include_str!("page.html");
const POLICY: &str = "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; \
                      style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// `GET /v1`: lets a person try each method.
pub(super) async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, PAGE).into_response()
}

/// `GET /openapi.json`. Made when it is first asked for.
pub(super) async fn openapi(State(door): State<Arc<Door>>) -> Response {
    // Types are traced by letting their own code run, for as long as that takes.
    let making = crate::world::blocking(move || {
        let document = door.openapi.get_or_init(|| {
            let document = document(&door.services, door.asked).to_string();
            document.into()
        });
        document.clone()
    });
    match making.await {
        Ok(document) => {
            let headers = [(header::CONTENT_TYPE, "application/json")];
            (headers, document).into_response()
        }
        Err(error) => {
            let text = format!("the description of the services was not made: {error}");
            Problem::from(Error::unavailable(text)).into_response()
        }
    }
}
