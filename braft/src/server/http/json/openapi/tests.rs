use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::*;
use crate::{Context, raft_service};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Node {
        left: Box<Tree>,
        right: Option<Box<Tree>>,
    },
    #[serde(rename = "of: x")]
    Odd(u8),
}

#[derive(Debug, Serialize, Deserialize)]
struct Grown {
    tree: Tree,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u64),
    Text(String),
}

#[raft_service(crate = crate)]
#[derive(Default, Serialize, Deserialize)]
struct Wood {
    trees: Vec<Tree>,
}

#[raft_service(crate = crate)]
impl Wood {
    /// Grows a tree.
    ///
    /// # Errors
    /// If there is no room.
    fn grow(
        &mut self,
        context: &mut Context<Grown>,
        tree: Tree,
        by: Option<IpAddr>,
    ) -> Result<u32, String> {
        let _ = by;
        context.emit(Grown { tree: tree.clone() });
        self.trees.push(tree);
        Ok(1)
    }

    fn find(&self, like: Option<Tree>, at: u8, among: BTreeMap<(u8, u8), i64>) -> Vec<Tree> {
        let _ = (at, among);
        like.into_iter().collect()
    }

    fn any(&self, read: Untagged) -> Untagged {
        read
    }
}

fn wood() -> Value {
    document(&[JsonService::of::<Wood>()], Asked::default())
}

#[test]
fn operations_have_their_arguments_answers_and_docs() {
    let document = wood();
    let grow = &document["paths"]["/v1/Wood/grow"];
    assert!(grow["get"].is_null(), "a command is no GET");
    let post = &grow["post"];
    assert_eq!(post["summary"], "Grows a tree.");
    let body = &post["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(body["required"], json!(["tree"]));
    let tree = json!({ "$ref": "#/components/schemas/Tree" });
    assert_eq!(body["properties"]["tree"], tree);
    // As people write it, not as it travels.
    let by = &body["properties"]["by"]["anyOf"][0];
    assert_eq!(by["type"], "string");
    let answer = &post["responses"]["200"]["content"]["application/json"]["schema"];
    assert_eq!(
        (&answer["type"], &answer["maximum"]),
        (&json!("integer"), &json!(u32::MAX))
    );
    let problem = &post["responses"]["422"]["content"]["application/problem+json"]["schema"];
    assert_eq!(problem["allOf"][1]["properties"]["error"]["type"], "string");
    let events = &document["paths"]["/v1/Wood/events"]["get"];
    assert_eq!(
        events["responses"]["200"]["content"]["text/event-stream"]["x-event"],
        json!({ "$ref": "#/components/schemas/Grown" })
    );
}

#[test]
fn a_type_inside_itself_refers_to_itself() {
    let document = wood();
    let tree = &document["components"]["schemas"]["Tree"]["oneOf"];
    let itself = json!({ "$ref": "#/components/schemas/Tree" });
    assert_eq!(tree[0], json!({ "const": "Leaf" }));
    let node = &tree[1]["properties"]["Node"];
    assert_eq!(node["properties"]["left"], itself);
    assert_eq!(node["properties"]["right"]["anyOf"][0], itself);
    assert_eq!(node["required"], json!(["left"]));
    assert_eq!(tree[2]["required"], json!(["of: x"]));
    assert!(document["components"]["schemas"]["Tree2"].is_null());
}

#[test]
fn a_query_string_takes_words_and_json() {
    let document = wood();
    let find = &document["paths"]["/v1/Wood/find"]["get"]["parameters"];
    assert_eq!(
        (&find[0]["name"], &find[0]["required"]),
        (&json!("like"), &json!(false))
    );
    let json = |at: usize| &find[at]["content"]["application/json"]["schema"];
    assert_eq!(json(0), &json!({ "$ref": "#/components/schemas/Tree" }));
    assert_eq!(find[1]["schema"]["maximum"], 255);
    let pairs = &json(2)["anyOf"][0]["items"];
    assert_eq!(pairs["prefixItems"][1]["minimum"], json!(i64::MIN));
    // An argument that is named like a parameter goes into a body.
    assert!(document["paths"]["/v1/Wood/any"]["get"].is_null());
    let any = &document["paths"]["/v1/Wood/any"]["post"]["requestBody"];
    let any = &any["content"]["application/json"]["schema"]["properties"]["read"];
    assert!(
        any["type"].is_null() && any["description"].is_string(),
        "{any}"
    );
}

/// All references in a document.
pub(super) fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                found.push(reference.clone());
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = wood();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 10);
    for reference in found {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn what_is_asked_of_callers_is_said_where_something_is() {
    let plain = wood();
    assert!(plain["components"]["securitySchemes"].is_null());
    let grow = &plain["paths"]["/v1/Wood/grow"]["post"];
    assert!(grow["security"].is_null() && grow["responses"]["401"].is_null());
    assert!(plain["components"]["responses"]["NoToken"].is_null());

    let asked = Asked {
        tokens: true,
        certificates: false,
    };
    let secured = document(&[JsonService::of::<Wood>()], asked);
    let scheme = &secured["components"]["securitySchemes"]["token"];
    assert_eq!(
        (&scheme["type"], &scheme["scheme"]),
        (&json!("http"), &json!("bearer"))
    );
    for (path, method, role) in [
        ("grow", "post", "write"),
        ("find", "post", "read"),
        ("find", "get", "read"),
        ("events", "get", "read"),
    ] {
        let operation = &secured["paths"][format!("/v1/Wood/{path}")][method];
        assert_eq!(
            operation["security"],
            json!([{ "token": [role] }]),
            "{path}"
        );
        let refused = json!({ "$ref": "#/components/responses/NoToken" });
        assert_eq!(operation["responses"]["401"], refused, "{path}");
    }
    let refused = &secured["components"]["responses"]["NoToken"];
    assert_eq!(refused["headers"]["www-authenticate"]["required"], true);

    let both = Asked {
        certificates: true,
        ..asked
    };
    let both = document(&[JsonService::of::<Wood>()], both);
    let grow = &both["paths"]["/v1/Wood/grow"]["post"]["security"];
    assert_eq!(grow, &json!([{ "token": ["write"], "certificate": [] }]));
    let scheme = &both["components"]["securitySchemes"]["certificate"];
    assert_eq!(scheme["type"], "mutualTLS");
}

/// Where a subscriber writes its lines to.
struct Said(std::sync::mpsc::Sender<Vec<u8>>);

impl std::io::Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let sent = self.0.send(bytes.to_vec());
        sent.map(|()| bytes.len()).map_err(std::io::Error::other)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_type_that_does_not_say_what_it_takes_is_told_of() {
    let (said, heard) = std::sync::mpsc::channel();
    let lines = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || Said(said.clone()))
        .finish();
    tracing::subscriber::with_default(lines, wood);
    let text: Vec<u8> = heard.try_iter().flatten().collect();
    let text = String::from_utf8(text).expect("text");
    let is_told = text.contains("WARN") && text.contains("a type cannot be traced");
    assert!(is_told, "{text}");
}
