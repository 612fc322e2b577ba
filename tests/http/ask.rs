//! One request to a node's routes, and what came back.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use braft::Node;
use braft::http::axum;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tower::ServiceExt;

/// A request that is being made.
pub(crate) struct Ask {
    request: axum::http::request::Builder,
    body: Body,
}

/// What a node answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

pub(crate) fn get(path: &str) -> Ask {
    method("GET", path)
}

/// A call with these arguments.
pub(crate) fn post(path: &str, json: impl ToString) -> Ask {
    let mut ask = method("POST", path).header("content-type", "application/json");
    ask.body = Body::from(json.to_string());
    ask
}

pub(crate) fn method(method: &str, path: &str) -> Ask {
    Ask {
        request: Request::builder().method(method).uri(path),
        body: Body::empty(),
    }
}

impl Ask {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub(crate) fn of(self, node: &Node) -> BoxFuture<'_, Answer> {
        self.answered(node).boxed()
    }

    async fn answered(self, node: &Node) -> Answer {
        let request = self.request.body(self.body).expect("a well-formed request");
        // On the heap: the type of the whole is too deep for the compiler else.
        let response = Box::pin(node.router().oneshot(request)).await;
        let response = response.unwrap_or_else(|never| match never {});
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("a body");
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            text: String::from_utf8(body.into()).expect("text"),
        }
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    }

    /// The value, of a call that was answered.
    pub(crate) fn value(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        assert_eq!(self.header("content-type"), "application/json");
        self.json()
    }

    /// The problem document, of a call that was not.
    pub(crate) fn problem(&self, status: u16, kind: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["kind"], kind, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        problem
    }
}
