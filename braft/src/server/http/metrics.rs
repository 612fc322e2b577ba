//! `GET /metrics`: the node's figures for Prometheus.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::node::Core;

/// The text format that Prometheus takes without being asked which it wants.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn metrics(State(core): State<Arc<Core>>) -> Response {
    ([(header::CONTENT_TYPE, FORMAT)], core.metrics()).into_response()
}
