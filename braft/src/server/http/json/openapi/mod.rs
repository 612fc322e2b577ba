//! `GET /openapi.json`: what the services look like, for tools (OpenAPI 3.1).
//!
//! A type that implements `schemars::JsonSchema` is described by it, with the feature `schemars`. The others are
//! found out by tracing what their `Deserialize` asks for; one that does not say, such as an untagged enum, is
//! any JSON.

mod asked;
mod operation;
mod own;
mod schemas;

use serde_json::{Map, Value, json};

pub(crate) use self::asked::Asked;
use self::operation::{events, operations};
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

/// What is the same for all operations.
const RESPONSES: [(&str, &str, &str); 11] = [
    ("400", "Rejected", "The call is wrong; the detail says how."),
    (
        "401",
        "NoToken",
        "Nodes ask for a token, and none that they know was shown.",
    ),
    (
        "403",
        "Forbidden",
        "What was shown is not good for it, or a page of another origin has sent it.",
    ),
    ("404", "NotFound", "There is no such service or method."),
    ("408", "Late", "The body was not there in time."),
    (
        "409",
        "Applied",
        "The command was applied, and its answer cannot be given.",
    ),
    ("413", "TooLarge", "The body or the call is too large."),
    ("415", "NotJson", "The body is not said to be JSON."),
    ("429", "Busy", "A limit is reached; nothing was done."),
    (
        "503",
        "Unavailable",
        "No node could carry it out; nothing was done.",
    ),
    (
        "504",
        "Unknown",
        "It may have been applied. Repeat it under the same key.",
    ),
];

fn responses(asked: Asked) -> Value {
    let given = RESPONSES
        .iter()
        .filter(|(status, ..)| asked.answers(status));
    let named = given.map(|(status, name, description)| {
        let content = json!({ "application/problem+json": {
            "schema": { "$ref": "#/components/schemas/Problem" },
        } });
        let mut response = json!({ "description": description, "content": content });
        if *status == "401" {
            response["headers"] = json!({ "www-authenticate": {
                "description": "How a token is shown.",
                "required": true,
                "schema": { "type": "string" },
            } });
        }
        ((*name).to_owned(), response)
    });
    named.collect::<Map<_, _>>().into()
}

#[cfg(all(test, feature = "schemars"))]
mod own_tests;
#[cfg(test)]
mod tests;
