//! Routes of the node that give way to the program's own.
//!
//! The program may serve `/` and `/metrics` itself, by a route or by a fallback: what it answers there
//! stands. Only where it has nothing, the node's own page is served.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::metrics;
use crate::node::Core;

/// The places of these routes.
const PLACES: [&str; 4] = ["/", "/dashboard", "/dashboard/events", "/metrics"];

/// Serves the node's own pages where `router` has nothing.
pub(crate) fn with_house(router: Router, core: &Arc<Core>, stopping: CancellationToken) -> Router {
    let house = Router::new().route("/metrics", get(metrics::metrics));
    let house = house.with_state(core.clone());
    #[cfg(feature = "http")]
    let house = house.merge(super::dashboard::routes(core.clone(), stopping));
    #[cfg(not(feature = "http"))]
    drop(stopping);
    router.layer(from_fn_with_state(house, give_way))
}

async fn give_way(State(house): State<Router>, request: Request, next: Next) -> Response {
    let is_looked_at = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_looked_at || !PLACES.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let mut again = Request::new(Body::empty());
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.headers_mut() = request.headers().clone();
    let response = next.run(request).await;
    match response.status() {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            let answer = house.oneshot(again).await;
            answer.unwrap_or_else(|never| match never {})
        }
        _ => response,
    }
}
