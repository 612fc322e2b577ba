//! A page that shows the cluster as it lives, and the stream it lives on.
//!
//! | file | what it holds |
//! |---|---|
//! | `sampler.rs` | looks at all nodes once a second while somebody watches |
//! | `page.html` | the page: it asks nobody but this node for anything |

mod sampler;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use self::sampler::Sampler;
use crate::node::Core;

const PAGE: &str = include_str!("page.html");
/// Where the page says it: only scripts and styles that bear this number are the page's own.
const NONCE: &str = "{nonce}";

/// `GET /` and `GET /dashboard`: the page; `GET /dashboard/events`: what it shows.
pub(super) fn routes(core: Arc<Core>, stopping: CancellationToken) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/dashboard", get(page))
        .route("/dashboard/events", get(events))
        .with_state(Arc::new(Sampler::new(core, stopping)))
}

async fn page() -> Response {
    let (Ok(high), Ok(low)) = (crate::world::random(), crate::world::random()) else {
        let text = "the operating system gives no random numbers";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let nonce = format!("{high:016x}{low:016x}");
    let policy = format!(
        "default-src 'none'; connect-src 'self'; img-src data:; script-src 'nonce-{nonce}'; \
         style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, &policy),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, PAGE.replace(NONCE, &nonce)).into_response()
}

async fn events(State(sampler): State<Arc<Sampler>>) -> Response {
    let Some(samples) = sampler.watch() else {
        let text = format!(
            "{} watch this node already; look at another",
            sampler::MAX_WATCHERS
        );
        return (StatusCode::TOO_MANY_REQUESTS, text).into_response();
    };
    let stopped = sampler.stopping().cancelled_owned();
    let events = samples.map(|sample| Ok::<_, Infallible>(Event::default().data(&*sample)));
    let mut response = Sse::new(events.take_until(stopped)).into_response();
    // Proxies would wait for more.
    for (name, value) in [("x-accel-buffering", "no"), ("cache-control", "no-store")] {
        let (name, value) = (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
        response.headers_mut().insert(name, value);
    }
    response
}
