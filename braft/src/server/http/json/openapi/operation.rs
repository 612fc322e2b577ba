//! One operation in the document.

use serde_json::{Map, Value, json};

use super::Asked;
use super::responses::RESPONSES;
use super::schemas::{Schemas, label};
use crate::access::Role;
use crate::json::{Form, JsonOperation, JsonService, Shape};
use crate::schema::{Node, Part, Way};

/// Parameters of a GET that are not arguments.
const RESERVED: [&str; 3] = ["read", "max_age", "args"];

/// POST, and GET for a query.
pub(super) fn operations(
    service: &JsonService,
    operation: &JsonOperation,
    asked: Asked,
    schemas: &mut Schemas,
) -> Value {
    let arguments = operation.arguments.iter();
    let arguments: Vec<_> = arguments
        .map(|(name, shape)| (name.as_str(), shape.traced(), *shape))
        .collect();
    let mut post = head(service, operation, asked, "");
    post["requestBody"] = body(&arguments, schemas);
    let responses = answered(operation.answer.shape, asked, schemas);
    post["responses"] = responses.clone();
    let own = if operation.method.is_command {
        &["timeout", "key"][..]
    } else {
        &["timeout", "read", "position"]
    };
    let own: Vec<_> = own.iter().map(|name| parameter(name)).collect();
    post["parameters"] = own.clone().into();
    let mut found = json!({ "post": post });
    let is_flat = arguments.iter().all(|(name, ..)| !RESERVED.contains(name));
    if !operation.method.is_command && is_flat {
        let mut get = head(service, operation, asked, ".get");
        let flat = arguments
            .iter()
            .map(|(name, traced, shape)| in_query(name, traced, *shape, schemas));
        get["parameters"] = flat.chain(own).collect();
        get["responses"] = responses;
        found["get"] = get;
    }
    found
}

/// The stream of a service's events.
pub(super) fn events(
    service: &JsonService,
    form: Form,
    asked: Asked,
    schemas: &mut Schemas,
) -> Value {
    let shape = form.shape;
    let event = schemas.best(&shape.traced(), shape.own(Part::Whole), Way::Written);
    let description = "Server-sent events, from the oldest that is kept. The id of each is its \
                       position; the event `compacted` says that those which come next are no \
                       longer kept.";
    let mut responses = Map::new();
    responses.insert(
        "200".to_owned(),
        json!({
            "description": "Events, each with its JSON as data.",
            "content": { "text/event-stream": { "schema": { "type": "string" }, "x-event": event } },
        }),
    );
    responses.insert(
        "410".to_owned(),
        problem("What comes after that position is no longer kept.", None),
    );
    let mut events = json!({
        "operationId": format!("{}.events", service.name),
        "tags": [service.name],
        "summary": "What the service emits.",
        "description": description,
        "parameters": [{
            "name": "after",
            "in": "query",
            "description": "The id of the last event that was seen; oldest or latest.",
            "schema": { "type": "string" },
        }],
        "responses": common(responses, asked),
    });
    secure(&mut events, asked, Role::Read);
    events
}

fn head(service: &JsonService, operation: &JsonOperation, asked: Asked, suffix: &str) -> Value {
    let method = operation.method;
    let mut head = json!({
        "operationId": format!("{}.{}{suffix}", service.name, method.name),
        "tags": [service.name],
        "summary": if method.doc.is_empty() { method.name } else { method.doc },
        "x-braft-kind": if method.is_command { "command" } else { "query" },
    });
    if let Some(removed) = method.removed {
        head["deprecated"] = true.into();
        head["description"] = format!("Refused from version {removed} on.").into();
    } else if method.since > 1 {
        head["description"] = format!("Known since version {}.", method.since).into();
    }
    let needed = if method.is_command {
        Role::Write
    } else {
        Role::Read
    };
    secure(&mut head, asked, needed);
    head
}

fn secure(operation: &mut Value, asked: Asked, needed: Role) {
    if let Some(security) = asked.of(needed) {
        operation["security"] = security;
    }
}

fn parameter(name: &str) -> Value {
    json!({ "$ref": format!("#/components/parameters/{name}") })
}

fn is_optional(traced: &Node) -> bool {
    traced.kind == "option"
}

fn body(arguments: &[(&str, Node, Shape)], schemas: &mut Schemas) -> Value {
    let properties = arguments.iter();
    let properties = properties
        .map(|(name, traced, shape)| ((*name).to_owned(), in_body(traced, *shape, schemas)));
    let properties: Map<_, _> = properties.collect();
    let required = arguments
        .iter()
        .filter(|(_, traced, _)| !is_optional(traced));
    let required: Vec<_> = required.map(|(name, ..)| *name).collect();
    json!({
        "required": !required.is_empty(),
        "content": { "application/json": { "schema": {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        } } },
    })
}

/// An argument in a body.
fn in_body(traced: &Node, shape: Shape, schemas: &mut Schemas) -> Value {
    let inside = traced.children.first().filter(|_| is_optional(traced));
    match (inside, shape.own(Part::Inside)) {
        (Some(inside), own @ Some(_)) => {
            let some = schemas.best(inside, own, Way::Read);
            json!({ "anyOf": [some, { "type": "null" }] })
        }
        _ => schemas.best(traced, shape.own(Part::Whole), Way::Read),
    }
}

/// An argument as a parameter: a word as it is, anything else as JSON.
fn in_query(name: &str, traced: &Node, shape: Shape, schemas: &mut Schemas) -> Value {
    let is_optional = is_optional(traced);
    // One that is left out is none: what is written is what is in it.
    let inside = traced.children.first().filter(|_| is_optional);
    let (traced, part) = match inside {
        Some(inside) => (inside, Part::Inside),
        None => (traced, Part::Whole),
    };
    let schema = schemas.best(traced, shape.own(part), Way::Read);
    let mut parameter = json!({ "name": name, "in": "query", "required": !is_optional });
    if Schemas::is_word(traced) {
        parameter["schema"] = schema;
    } else {
        parameter["content"] = json!({ "application/json": { "schema": schema } });
    }
    parameter
}

/// The answers of an operation; of a `Result` both sides.
fn answered(shape: Shape, asked: Asked, schemas: &mut Schemas) -> Value {
    let answer = shape.traced();
    let sides: Vec<_> = answer.children.iter().map(label).collect();
    let is_result = answer.kind == "enum Result" && sides == ["Ok", "Err"];
    let mut best = |traced: &Node, part| schemas.best(traced, shape.own(part), Way::Written);
    let (value, error) = match &answer.children[..] {
        [value, error] if is_result => (best(value, Part::Ok), Some(best(error, Part::Err))),
        _ => (best(&answer, Part::Whole), None),
    };
    let mut responses = Map::new();
    responses.insert(
        "200".to_owned(),
        json!({
            "description": "What the method answered.",
            "headers": { "braft-position": {
                "description": "How far the caller has seen the state by now.",
                "schema": { "type": "string", "pattern": "^[0-9]{1,20}-[0-9a-f]{8}$" },
            } },
            "content": { "application/json": { "schema": value } },
        }),
    );
    let description = if error.is_some() {
        "The service's own error, under `error`; or the idempotency key is another command's."
    } else {
        "The idempotency key is another command's."
    };
    responses.insert("422".to_owned(), problem(description, error));
    common(responses, asked)
}

fn problem(description: &str, error: Option<Value>) -> Value {
    let document = json!({ "$ref": "#/components/schemas/Problem" });
    let schema = match error {
        None => document,
        Some(error) => json!({
            "allOf": [document, { "type": "object", "properties": { "error": error } }],
        }),
    };
    let content = json!({ "application/problem+json": { "schema": schema } });
    json!({ "description": description, "content": content })
}

fn common(mut responses: Map<String, Value>, asked: Asked) -> Value {
    let given = RESPONSES
        .iter()
        .filter(|(status, ..)| asked.answers(status));
    for (status, name, _) in given {
        let reference = json!({ "$ref": format!("#/components/responses/{name}") });
        responses.insert((*status).to_owned(), reference);
    }
    responses.into()
}
