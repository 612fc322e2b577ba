//! List, with pages, and the answers that refuse.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::selector::Selector;
use super::store::{Gone, Kind, Scope};
use super::watching::watch;
use super::{Request, Shared, TOKEN, Trouble};

type Parameters = HashMap<String, String>;

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let of = |kind: Kind| {
        get(
            move |State(shared): State<Arc<Shared>>,
                  Path(namespace): Path<String>,
                  Query(parameters): Query<Parameters>,
                  headers: HeaderMap| async move {
                answer(shared, kind, namespace, &parameters, &headers)
            },
        )
    };
    Router::new()
        .route(
            "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
            of(Kind::EndpointSlice),
        )
        .route("/api/v1/namespaces/{namespace}/pods", of(Kind::Pod))
        .with_state(shared)
}

fn answer(
    shared: Arc<Shared>,
    kind: Kind,
    namespace: String,
    parameters: &Parameters,
    headers: &HeaderMap,
) -> Response {
    let parameter = |name: &str| parameters.get(name).map_or("", String::as_str);
    let request = Request {
        watch: parameter("watch") == "true",
        namespace: namespace.clone(),
        selector: parameter("labelSelector").to_owned(),
        version: parameter("resourceVersion").to_owned(),
        continues: parameters.contains_key("continue"),
    };
    shared.requests.send_modify(|all| all.push(request.clone()));

    let authorization = headers.get("authorization").and_then(|it| it.to_str().ok());
    if authorization != Some(&format!("Bearer {TOKEN}")) {
        return refuse(401);
    }
    match shared.state().trouble {
        Trouble::Refused(code) => return refuse(code),
        Trouble::WatchRefused(code) if request.watch => return refuse(code),
        _ => {}
    }
    let Some(selector) = Selector::parse(&request.selector) else {
        return refuse(400);
    };
    let scope = Scope {
        kind,
        namespace,
        selector,
    };
    if request.watch {
        return watch(shared, scope, &request.version, parameters);
    }
    match list(&shared, &scope, parameter("limit"), parameter("continue")) {
        Ok(list) => Json(list).into_response(),
        Err(Gone) => refuse(410),
    }
}

/// One page; `continues` is the token of the page before.
fn list(shared: &Shared, scope: &Scope, limit: &str, continues: &str) -> Result<Value, Gone> {
    let mut state = shared.state();
    if !continues.is_empty() && state.trouble == Trouble::PagesExpire {
        state.trouble = Trouble::None;
        // A version of its own, so that the one of the first page is not the last.
        let version = state.store.version();
        let first = state
            .store
            .list(scope, version)?
            .first()
            .map(|(_, it)| (*it).clone());
        first.into_iter().for_each(|first| state.store.put(first));
        state.store.compact();
    }
    let (version, after) = match continues.split_once('/') {
        Some((version, after)) => (version.parse().map_err(|_| Gone)?, after),
        None => (state.store.version(), ""),
    };
    let all = state.store.list(scope, version)?;
    let rest: Vec<_> = all.iter().filter(|(name, _)| *name > after).collect();
    let limit = limit.parse().unwrap_or(rest.len());
    let page = &rest[..limit.min(rest.len())];
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if let (Some((last, _)), true) = (page.last(), page.len() < rest.len()) {
        metadata["continue"] = format!("{version}/{last}").into();
        metadata["remainingItemCount"] = (rest.len() - page.len()).into();
    }
    let items: Vec<_> = page.iter().map(|(_, object)| bare(object)).collect();
    Ok(json!({
        "kind": format!("{}List", scope.kind.name()),
        "apiVersion": scope.kind.api_version(),
        "metadata": metadata,
        "items": items,
    }))
}

/// The items of a list do not say of what kind they are.
fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    object
}

fn refuse(code: u16) -> Response {
    let status = StatusCode::from_u16(code).expect("a status");
    (status, Json(refusal(code))).into_response()
}

/// What the API server says when it refuses.
pub(crate) fn refusal(code: u16) -> Value {
    let (reason, message) = match code {
        400 => ("BadRequest", "unable to parse requirement"),
        401 => ("Unauthorized", "Unauthorized"),
        403 => ("Forbidden", "is forbidden: User cannot do that"),
        410 => ("Expired", "too old resource version: 1 (2)"),
        429 => ("TooManyRequests", "the server has too many requests"),
        503 => ("ServiceUnavailable", "the server is currently unable"),
        _ => ("InternalError", "Internal error occurred"),
    };
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    })
}
