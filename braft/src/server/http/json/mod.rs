//! Every service over HTTP, in JSON.
//!
//! | route | what it is |
//! |---|---|
//! | `POST /v1/{service}/{method}` | a call, its arguments a JSON object |
//! | `GET /v1/{service}/{method}` | a query, its arguments in the query string |
//! | `GET /v1/{service}/events` | what the service emits |
//! | `GET /openapi.json` | all of that for programs |
//! | `GET /v1` | a page that lets a person try it |
//!
//! | file | what it holds |
//! |---|---|
//! | `door.rs` | the services, and what bounds their callers |
//! | `call.rs` | a call, from request to response |
//! | `events.rs` | events, one after the other |
//! | `openapi/` | the description of the services |
//! | `pages.rs` | what is served that is no call |
//! | `options.rs` | what a request says besides its arguments |
//! | `position.rs` | how far a caller has seen the state |
//! | `foreign.rs` | requests that pages of other origins make |
//! | `problem.rs` | what went wrong, as RFC 9457 has it |

mod call;
mod door;
mod events;
mod foreign;
mod openapi;
mod options;
mod pages;
mod position;
mod problem;

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use tokio_util::sync::CancellationToken;

use self::door::Door;
pub(crate) use self::openapi::Asked;
use self::problem::Problem;
use crate::json::JsonService;
use crate::node::Core;

/// The routes of these services, on a node that asks this of its callers.
pub(crate) fn routes(
    core: Arc<Core>,
    services: Vec<JsonService>,
    asked: Asked,
    stopping: CancellationToken,
) -> Router {
    Router::new()
        .route("/openapi.json", get(pages::openapi))
        .route("/v1", get(pages::page))
        .route("/v1/{service}", any(service))
        .route("/v1/{service}/{method}", any(call::call))
        .layer(DefaultBodyLimit::max(door::MAX_BODY_BYTES))
        .with_state(Arc::new(Door::new(core, services, asked, stopping)))
}

/// A service without a method: what there is.
async fn service(
    State(door): State<Arc<Door>>,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let found = path.map_err(|error| Problem::bad_request(error.body_text()));
    match found.and_then(|Path(name)| door.service(&name).map(door::methods)) {
        Ok(methods) => {
            let text = format!("name a method in the path; there is {methods}");
            Problem::not_found(text).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}
