//! HTTP for people and programs: status, health, metrics, the dashboard.

#[cfg(feature = "http")]
mod dashboard;
mod error;
mod guard;
mod health;
mod house;
#[cfg(feature = "http")]
pub(crate) mod json;
mod metrics;
mod port;
mod refusal;
mod slow;

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use serde_json::Value;

pub use error::error_response;
pub(crate) use guard::guarded;
pub(crate) use house::with_house;
pub(crate) use port::serve;

use crate::node::Core;
use crate::status::overview;

/// The node's own routes: `/raft`, `/healthz`, `/readyz`.
pub(crate) fn routes(core: Arc<Core>) -> Router {
    Router::new()
        .route("/raft", get(raft))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .with_state(core)
}

/// Adds the headers that say which node answered.
pub(crate) fn signed(router: Router, core: Arc<Core>) -> Router {
    router.layer(from_fn_with_state(core, sign))
}

async fn sign(
    State(core): State<Arc<Core>>,
    request: axum::extract::Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    let [id, ip, host] = core.signature();
    let headers = [("braft-id", id), ("braft-ip", ip), ("braft-host", host)];
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response
                .headers_mut()
                .insert(HeaderName::from_static(name), value);
        }
    }
    response
}

async fn raft(State(core): State<Arc<Core>>) -> Json<Value> {
    let all = core.all_statuses().await;
    Json(overview(&core.status(), &all))
}
