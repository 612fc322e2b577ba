//! `GET /openapi.json`: what the services look like, for tools (OpenAPI 3.1).
//!
//! A type that implements `schemars::JsonSchema` is described by it, with the feature `schemars`. The others are
//! found out by tracing what their `Deserialize` asks for; one that does not say, such as an untagged enum, is
//! any JSON.

mod asked;
mod operation;
mod own;
mod responses;
mod schemas;

use serde_json::{Map, Value, json};

pub(crate) use self::asked::Asked;
use self::operation::{events, operations};
use self::responses::responses;
use self::schemas::Schemas;
use crate::json::JsonService;

/// The document of a node that asks this of its callers.
pub(super) fn document(services: &[JsonService], asked: Asked) -> Value {
    let mut schemas = Schemas::default();
    let mut paths = Map::new();
    for service in services {
        for operation in &service.operations {
            let path = format!("/v1/{}/{}", service.name, operation.method.name);
            let found = operations(service, operation, asked, &mut schemas);
            paths.insert(path, found);
        }
        if let Some(form) = service.event {
            let path = format!("/v1/{}/events", service.name);
            let events = events(service, form, asked, &mut schemas);
            let place = paths.entry(path).or_insert_with(|| json!({}));
            place["get"] = events;
        }
    }
    let tags = services
        .iter()
        .map(|service| json!({ "name": service.name }));
    let mut components = json!({
        "schemas": schemas.finish(),
        "parameters": parameters(),
        "responses": responses(asked),
    });
    let schemes = asked.schemes();
    if !schemes.is_empty() {
        components["securitySchemes"] = schemes.into();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "braft services",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Calls of replicated services. Any node takes any call.",
        },
        "tags": tags.collect::<Vec<_>>(),
        "paths": paths,
        "components": components,
    })
}

/// A minute at most.
const TIMEOUT: &str = "^([1-9][0-9]{0,3}ms|[1-9]s|[1-5][0-9]s|60s|1m)$";

fn parameters() -> Value {
    json!({
        "read": {
            "name": "read",
            "in": "query",
            "description": "How fresh the answer must be.",
            "schema": {
                "type": "string",
                "enum": ["linearizable", "lease", "follower", "session", "local"],
                "default": "linearizable",
            },
        },
        "position": {
            "name": "braft-position",
            "in": "header",
            "description": "With read=session: what the caller has seen, from its latest answer.",
            "schema": { "type": "string", "pattern": "^[0-9]{1,20}-[0-9a-f]{8}$" },
        },
        "timeout": {
            "name": "braft-timeout",
            "in": "header",
            "description": "How long the caller waits: 500ms, 2s; a minute at most.",
            "schema": { "type": "string", "pattern": TIMEOUT, "default": "5s" },
        },
        "key": {
            "name": "idempotency-key",
            "in": "header",
            "description": "Names the command: a repeat under the same key has the same outcome.",
            "schema": { "type": "string", "pattern": "^[!-~]{1,128}$" },
        },
    })
}

#[cfg(all(test, feature = "schemars"))]
mod own_tests;
#[cfg(test)]
mod tests;
