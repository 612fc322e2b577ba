//! Whether a node is to be restarted, and whether it is to be sent work: what probes ask.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::node::Core;

/// `GET /healthz`: 503 only if a restart is what helps. A node without a majority waits for one.
pub(super) async fn alive(State(core): State<Arc<Core>>) -> Response {
    match core.alive() {
        Ok(()) => "alive\n".into_response(),
        Err(why) => not("alive", &why),
    }
}

/// `GET /readyz`: whether this node knows a leader, is in touch with it, and has its state.
pub(super) async fn ready(State(core): State<Arc<Core>>) -> Response {
    match core.ready().await {
        Ok(()) => "ready\n".into_response(),
        Err(why) => not("ready", &why),
    }
}

fn not(what: &str, why: &str) -> Response {
    let body = Json(json!({ what: false, "why": why }));
    (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
}
