//! What is answered where there is no answer of a method.

use serde_json::{Map, Value, json};

use super::Asked;

/// What is the same for all operations.
pub(super) const RESPONSES: [(&str, &str, &str); 11] = [
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

pub(super) fn responses(asked: Asked) -> Value {
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

/// RFC 9457, with what braft adds.
pub(super) fn problem() -> Value {
    json!({
        "type": "object",
        "description": "A problem document (RFC 9457).",
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "What is wrong, and what to do." },
            "kind": {
                "type": "string",
                "description": "`service` for an error of the service's own, which is under \
                                `error`; the others are braft's.",
                "enum": [
                    "service", "rejected", "busy", "unavailable", "unknown_outcome",
                    "session_expired", "fatal", "fenced", "key_reused", "compacted",
                ],
            },
            "outcome": {
                "type": "string",
                "description": "What is known of the effect.",
                "enum": ["not_applied", "unknown", "applied"],
            },
            "error": { "description": "The service's own error." },
        },
        "required": ["type", "title", "status", "detail", "kind"],
    })
}
