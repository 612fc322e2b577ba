//! `GET|POST|DELETE /kv`: the service over HTTP.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::params::Params;
use crate::service::KvClient;

/// The largest request body. A value is held in memory by every node and travels in one command.
const MAX_BODY_BYTES: usize = 1 << 20;

/// The routes, each answered through the client.
pub(crate) fn routes(client: KvClient) -> Router {
    let methods = get(read)
        .post(write)
        .delete(remove)
        .fallback(no_such_method);
    Router::new()
        .route("/kv", methods)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(client)
}

/// Answers the value as a JSON string, or `null`.
async fn read(State(kv): State<KvClient>, RawQuery(query): RawQuery) -> Response {
    let params = match parse(query) {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    answer(kv.get(&params.map, &params.key).read(params.read).await)
}

/// Writes the value of the parameter or of the body; answers the value it replaced.
async fn write(
    State(kv): State<KvClient>,
    RawQuery(query): RawQuery,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let params = match parse(query) {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    let value = match value(params.value, body) {
        Ok(value) => value,
        Err(refused) => return refused,
    };
    answer(kv.set(&params.map, &params.key, &value).await)
}

/// Removes the key; answers the value it had.
async fn remove(State(kv): State<KvClient>, RawQuery(query): RawQuery) -> Response {
    match parse(query) {
        Ok(params) => answer(kv.remove(&params.map, &params.key).await),
        Err(refused) => refused,
    }
}

async fn no_such_method() -> Response {
    let message = "/kv knows the methods GET, POST and DELETE";
    refuse(StatusCode::METHOD_NOT_ALLOWED, message)
}

// A refusal is a whole response, made once per request: boxing it would buy nothing.
#[allow(clippy::result_large_err)]
fn parse(query: Option<String>) -> Result<Params, Response> {
    Params::parse(query.as_deref().unwrap_or_default())
        .map_err(|error| refuse(StatusCode::BAD_REQUEST, &error.to_string()))
}

#[allow(clippy::result_large_err)]
fn value(param: Option<String>, body: Result<Bytes, BytesRejection>) -> Result<String, Response> {
    let body = body.map_err(|error| refuse(error.status(), &error.body_text()))?;
    let bad = |message| refuse(StatusCode::BAD_REQUEST, message);
    match param {
        Some(value) if body.is_empty() => Ok(value),
        Some(_) => Err(bad(
            "the value is given twice: as a parameter and as the body",
        )),
        None if body.is_empty() => Err(bad("no value: give value= (v=) or a request body")),
        None => String::from_utf8(body.into()).map_err(|_| bad("the body is not UTF-8 text")),
    }
}

fn answer(result: Result<Option<String>, braft::Error>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => braft::http::error_response(&error),
    }
}

/// A request that never reached the cluster.
fn refuse(status: StatusCode, message: &str) -> Response {
    let body = json!({ "error": message, "outcome": "rejected" });
    (status, Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use braft::testing::loopback;
    use serde_json::Value;
    use tower::ServiceExt as _;

    use super::*;
    use crate::service::Kv;

    /// Sends one request to the routes and reads status and JSON of the answer.
    async fn send(routes: &Router, method: &str, uri: &str, body: impl Into<Body>) -> (u16, Value) {
        let request = Request::builder().method(method).uri(uri);
        let request = request.body(body.into()).expect("a well-formed request");
        let response = routes.clone().oneshot(request).await;
        let response = response.unwrap_or_else(|never| match never {});
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await;
        let body = body.expect("the body is in memory");
        (
            status,
            serde_json::from_slice(&body).expect("each answer is JSON"),
        )
    }

    fn fresh() -> Router {
        routes(loopback::<Kv>())
    }

    #[tokio::test]
    async fn a_value_is_written_read_and_removed() {
        let kv = fresh();
        let uri = "/kv?map=m&key=k";
        assert_eq!(send(&kv, "GET", uri, "").await, (200, Value::Null));
        let first = send(&kv, "POST", "/kv?m=m&k=k&v=%22one%22", "").await;
        assert_eq!(first, (200, Value::Null));
        assert_eq!(send(&kv, "GET", uri, "").await, (200, json!("\"one\"")));
        let second = send(&kv, "POST", uri, "two").await;
        assert_eq!(second, (200, json!("\"one\"")));
        assert_eq!(send(&kv, "DELETE", uri, "").await, (200, json!("two")));
        assert_eq!(send(&kv, "DELETE", uri, "").await, (200, Value::Null));
        assert_eq!(send(&kv, "GET", uri, "").await, (200, Value::Null));
    }

    #[tokio::test]
    async fn map_and_key_are_default_when_not_named() {
        let kv = fresh();
        send(&kv, "POST", "/kv", "x").await;
        let named = send(&kv, "GET", "/kv?m=default&k=default&read=local", "").await;
        assert_eq!(named, (200, json!("x")));
    }

    #[tokio::test]
    async fn what_cannot_be_done_is_a_json_object_with_its_outcome() {
        let kv = fresh();
        let long = "x".repeat(MAX_BODY_BYTES + 1);
        let refused = [
            (400, send(&kv, "GET", "/kv?read=stale", "").await),
            (400, send(&kv, "GET", "/kv?kye=a", "").await),
            (400, send(&kv, "POST", "/kv?k=a", "").await),
            (400, send(&kv, "POST", "/kv?k=a&v=b", "c").await),
            (400, send(&kv, "POST", "/kv?k=a", vec![0xff]).await),
            (400, send(&kv, "DELETE", "/kv?k=a&k=b", "").await),
            (405, send(&kv, "PUT", "/kv?k=a&v=b", "").await),
            (413, send(&kv, "POST", "/kv?k=a", long).await),
        ];
        for (expected, (status, body)) in refused {
            assert_eq!(status, expected, "{body}");
            assert_eq!(body["outcome"], "rejected", "{body}");
            assert!(body["error"].is_string(), "{body}");
        }
        assert_eq!(send(&kv, "GET", "/kv?k=a", "").await, (200, Value::Null));
    }
}
