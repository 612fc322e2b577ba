//! `GET /distribute/{list}`: the answering node's share.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::item::{Share, ShareState};
use super::list::WorkList;
use crate::node::Node;
use crate::server::http::error_response;

pub(super) fn routes(node: &Node) -> Router {
    Router::new()
        .route("/distribute/{list}", get(share))
        .with_state(node.clone())
}

async fn share(State(node): State<Node>, Path(name): Path<String>) -> Response {
    let list: WorkList<Value> = node.work_list(name);
    match list.share().await {
        Ok(share) => answer(&share),
        Err(error) => error_response(&error),
    }
}

fn answer(share: &Share<Value>) -> Response {
    let (status, state, error) = match &share.state {
        ShareState::Assigned(items) => {
            return Json(json!({
                "state": "assigned",
                "position": share.position,
                "items": items,
            }))
            .into_response();
        }
        ShareState::Absent => (
            StatusCode::NOT_FOUND,
            "absent",
            "there is no such work list",
        ),
        ShareState::Unassigned => (
            StatusCode::SERVICE_UNAVAILABLE,
            "unassigned",
            "no leader has assigned the work yet; try again",
        ),
        ShareState::NotMember => (
            StatusCode::SERVICE_UNAVAILABLE,
            "not member",
            "this node is not among the members that work is assigned to",
        ),
    };
    let body = json!({ "state": state, "position": share.position, "error": error });
    (status, Json(body)).into_response()
}
