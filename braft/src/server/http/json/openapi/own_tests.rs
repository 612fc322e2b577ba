use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tests::references;
use super::*;
use crate::{Context, raft_service};

/// How large something is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct Size {
    /// In metres.
    #[schemars(range(min = 1, max = 9))]
    wide: u32,
    high: Option<u64>,
}

mod other {
    use super::*;

    #[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
    pub(super) struct Size {
        name: String,
    }
}

/// Says nothing of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Plain {
    size: Size,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct Tree {
    trees: Vec<Tree>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind")]
enum Tagged {
    Large(Size),
    None,
}

/// May be left out as it is read, and never is as it is written.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Written {
    #[serde(default)]
    note: String,
    #[serde(default)]
    any: Value,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
struct Spot {
    x: i32,
}

#[raft_service(crate = crate)]
#[derive(Default, Serialize, Deserialize)]
struct Shop {
    sold: u64,
}

#[raft_service(crate = crate)]
impl Shop {
    fn sell(
        &mut self,
        context: &mut Context<Size>,
        size: Size,
        other: other::Size,
        plain: Plain,
    ) -> Result<Tree, Plain> {
        let _ = (context, other);
        self.sold += u64::from(size.wide);
        Err(plain)
    }

    fn find(&self, like: Option<Size>, at: Option<u16>, tree: Tree) -> Tree {
        let _ = (like, at);
        tree
    }

    fn tagged(&self, tagged: Tagged, spots: BTreeMap<Spot, u8>) -> BTreeMap<u8, Size> {
        let _ = (tagged, spots);
        BTreeMap::new()
    }

    fn note(&self, written: Written) -> Written {
        written
    }
}

fn shop() -> Value {
    document(&[JsonService::of::<Shop>()], Asked::default())
}

fn arguments<'a>(document: &'a Value, method: &str) -> &'a Value {
    let post = &document["paths"][format!("/v1/Shop/{method}")]["post"];
    &post["requestBody"]["content"]["application/json"]["schema"]["properties"]
}

fn component(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Where a reference leads.
fn led<'a>(document: &'a Value, schema: &Value) -> &'a Value {
    let reference = schema["$ref"].as_str().expect("a reference");
    let pointer = reference.trim_start_matches('#');
    document.pointer(pointer).expect("it leads somewhere")
}

#[test]
fn a_type_that_says_what_it_is_is_described_by_it_and_others_are_traced() {
    let document = shop();
    let schemas = &document["components"]["schemas"];
    let sell = arguments(&document, "sell");
    assert_eq!(sell["size"], component("Size"));
    let size = &schemas["Size"];
    assert_eq!(size["description"], "How large something is.");
    let wide = &size["properties"]["wide"];
    assert_eq!(wide["description"], "In metres.");
    assert_eq!((&wide["minimum"], &wide["maximum"]), (&json!(1), &json!(9)));
    // What braft knows beyond it.
    assert_eq!(size["properties"]["high"]["maximum"], json!(u64::MAX));
    assert_eq!(size["additionalProperties"], false);

    // Traced, with all that is in it.
    assert_eq!(sell["plain"], component("Plain"));
    let inside = led(&document, &schemas["Plain"]["properties"]["size"]);
    assert!(inside["properties"]["wide"].is_object() && inside["description"].is_null());

    let responses = &document["paths"]["/v1/Shop/sell"]["post"]["responses"];
    let ok = &responses["200"]["content"]["application/json"]["schema"];
    assert_eq!(ok, &component("Tree"));
    let err = &responses["422"]["content"]["application/problem+json"]["schema"];
    assert_eq!(err["allOf"][1]["properties"]["error"], component("Plain"));
    let events = &document["paths"]["/v1/Shop/events"]["get"]["responses"]["200"];
    let event = led(
        &document,
        &events["content"]["text/event-stream"]["x-event"],
    );
    assert_eq!(event["description"], size["description"]);
}

#[test]
fn definitions_are_components_and_those_of_one_name_are_kept_apart() {
    let document = shop();
    let schemas = &document["components"]["schemas"];
    let other = &arguments(&document, "sell")["other"];
    assert_ne!(other, &component("Size"));
    let other = led(&document, other);
    assert!(other["properties"]["name"].is_object(), "{other}");
    assert_eq!(
        schemas["Tree"]["properties"]["trees"]["items"],
        component("Tree")
    );
    // The same type twice is one component.
    assert!(schemas["Tree2"].is_null());
    // But for what differs by the way that it goes.
    let note = &document["paths"]["/v1/Shop/note"]["post"];
    let read = &arguments(&document, "note")["written"];
    let written = &note["responses"]["200"]["content"]["application/json"]["schema"];
    assert_ne!(read, written);
    // A page looks into each schema.
    assert_eq!(
        led(&document, read)["properties"]["any"]["type"],
        Value::Null
    );
    assert!(led(&document, read)["properties"]["any"].is_object());
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 10);
    for reference in found {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn a_query_string_takes_what_is_in_an_option() {
    let document = shop();
    let find = &document["paths"]["/v1/Shop/find"]["get"]["parameters"];
    assert_eq!(find[0]["required"], false);
    assert_eq!(
        find[0]["content"]["application/json"]["schema"],
        component("Size")
    );
    assert_eq!(
        (&find[1]["schema"]["type"], &find[1]["schema"]["maximum"]),
        (&json!("integer"), &json!(65_535))
    );
}

#[test]
fn a_schema_that_is_one_of_several_for_a_value_stays_open() {
    let document = shop();
    let tagged = arguments(&document, "tagged");
    let large = &led(&document, &tagged["tagged"])["oneOf"][0];
    let beside = led(&document, large);
    assert!(beside["additionalProperties"].is_null(), "{beside}");
    assert!(large["additionalProperties"].is_null(), "{large}");
    // As JSON has it here, which the type does not know.
    let pairs = &tagged["spots"]["anyOf"][0]["items"]["prefixItems"];
    assert_eq!(pairs[1]["maximum"], 255);
}
