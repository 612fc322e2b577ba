//! Schemas that types have of themselves, made fit for the document.
//!
//! What braft adds: names that a type does not know are refused, and a number is no larger than its type.
//! Definitions become components; those of one name that are not the same are kept apart.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::schemas::Schemas;
use crate::schema::OwnSchema;

const DEFINITIONS: &str = "#/$defs/";

/// A definition that is a component by now.
#[derive(Debug)]
pub(super) struct Owned {
    name: String,
    /// It, and all that it refers to: only the whole says whether two are the same.
    all: BTreeMap<String, Value>,
    component: String,
}

/// Makes the definitions of a schema components, and has the schema refer to them.
pub(super) fn import(own: OwnSchema, schemas: &mut Schemas) -> Value {
    let OwnSchema {
        mut schema,
        mut definitions,
    } = own;
    let mut open = BTreeSet::new();
    find_open(&schema, false, &definitions, &mut open);
    for definition in definitions.values() {
        find_open(definition, false, &definitions, &mut open);
    }
    close(&mut schema, false);
    for (name, definition) in &mut definitions {
        close(definition, open.contains(name));
    }
    let mut components = BTreeMap::new();
    let mut new = Vec::new();
    for name in definitions.keys() {
        let mut all = BTreeMap::new();
        reach(name, &definitions, &mut all);
        let same = schemas
            .owned
            .iter()
            .find(|owned| owned.name == *name && owned.all == all);
        if let Some(same) = same {
            components.insert(name.clone(), same.component.clone());
            continue;
        }
        let component = schemas.take_name(name);
        components.insert(name.clone(), component.clone());
        new.push(component.clone());
        schemas.owned.push(Owned {
            name: name.clone(),
            all,
            component,
        });
    }
    refer(&mut schema, &components);
    for (name, mut definition) in definitions {
        let component = &components[&name];
        if new.contains(component) {
            refer(&mut definition, &components);
            schemas.fill(component, definition);
        }
    }
    schema
}

/// The definition that a schema refers to.
fn referred(schema: &Value) -> Option<String> {
    let name = schema.get("$ref")?.as_str()?.strip_prefix(DEFINITIONS)?;
    // As in the fragment of an address, and within it as in a JSON pointer.
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes().iter();
    while let Some(byte) = rest.next() {
        let digits = rest.as_slice().get(..2).filter(|_| *byte == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest.nth(1);
            }
            None => bytes.push(*byte),
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    Some(name.replace("~1", "/").replace("~0", "~"))
}

/// Has all references lead to components.
fn refer(schema: &mut Value, components: &BTreeMap<String, String>) {
    if let Some(component) = referred(schema).and_then(|name| components.get(&name)) {
        schema["$ref"] = format!("#/components/schemas/{component}").into();
    }
    for (_, inner) in within_mut(schema) {
        refer(inner, components);
    }
}

/// A definition, and all that it leads to.
fn reach(name: &str, definitions: &Map<String, Value>, all: &mut BTreeMap<String, Value>) {
    let Some(definition) = definitions.get(name).filter(|_| !all.contains_key(name)) else {
        return;
    };
    all.insert(name.to_owned(), definition.clone());
    let mut left = vec![definition];
    while let Some(schema) = left.pop() {
        if let Some(name) = referred(schema) {
            reach(&name, definitions, all);
        }
        left.extend(within(schema).into_iter().map(|(_, inner)| inner));
    }
}

/// Whether what is within a schema under this word is one of several that describe the same value.
fn is_beside(schema: &Value, word: &str, is_part: bool) -> bool {
    let has = |word: &str| schema.get(word).is_some();
    match word {
        "allOf" | "if" | "then" | "else" | "not" => true,
        "anyOf" | "oneOf" => is_part || has("properties") || has("$ref") || has("allOf"),
        _ => false,
    }
}

/// Finds the definitions that describe a value together with other schemas: each of those has names that
/// the others do not know.
fn find_open(
    schema: &Value,
    is_part: bool,
    definitions: &Map<String, Value>,
    open: &mut BTreeSet<String>,
) {
    if let Some(name) = referred(schema)
        && (is_part || schema.get("properties").is_some())
        && let Some(definition) = definitions.get(&name)
        && open.insert(name)
    {
        find_open(definition, true, definitions, open);
    }
    for (word, inner) in within(schema) {
        let is_part = is_beside(schema, word, is_part);
        find_open(inner, is_part, definitions, open);
    }
}

/// Says that there are no other names, and how large numbers are, where the schema leaves it open.
fn close(schema: &mut Value, is_part: bool) {
    // Anything. An object says it too, and not all that read the document know the short form.
    if *schema == Value::Bool(true) {
        *schema = json!({});
    }
    let beside = |schema: &Value, word: &str| is_beside(schema, word, is_part);
    let words: Vec<_> = within(schema)
        .into_iter()
        .map(|(word, _)| beside(schema, word))
        .collect();
    for ((_, inner), is_part) in within_mut(schema).into_iter().zip(words) {
        close(inner, is_part);
    }
    let Some(map) = schema.as_object_mut() else {
        return;
    };
    let says_more = [
        "$ref",
        "additionalProperties",
        "allOf",
        "anyOf",
        "oneOf",
        "patternProperties",
        "unevaluatedProperties",
    ];
    let says_more = says_more.iter().any(|word| map.contains_key(*word));
    if map.contains_key("properties") && !says_more && !is_part {
        map.insert("additionalProperties".to_owned(), false.into());
    }
    if let Some((least, most)) = map.get("format").and_then(Value::as_str).and_then(bounds) {
        map.entry("minimum").or_insert(least);
        map.entry("maximum").or_insert(most);
    }
}

/// What the names of number types promise.
fn bounds(format: &str) -> Option<(Value, Value)> {
    Some(match format {
        "int8" => (json!(i8::MIN), json!(i8::MAX)),
        "int16" => (json!(i16::MIN), json!(i16::MAX)),
        "int32" => (json!(i32::MIN), json!(i32::MAX)),
        "int64" | "int" => (json!(i64::MIN), json!(i64::MAX)),
        "uint8" => (json!(0), json!(u8::MAX)),
        "uint16" => (json!(0), json!(u16::MAX)),
        "uint32" => (json!(0), json!(u32::MAX)),
        "uint64" | "uint" => (json!(0), json!(u64::MAX)),
        _ => return None,
    })
}

/// The words under which a schema stands, under which several do, and under which they have names.
const ONE: [&str; 10] = [
    "additionalProperties",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
const SEVERAL: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
const NAMED: [&str; 3] = ["dependentSchemas", "patternProperties", "properties"];

/// The schemas right within a schema, each with the word under which it stands.
fn within(schema: &Value) -> Vec<(&str, &Value)> {
    let mut found = Vec::new();
    for (word, value) in schema.as_object().into_iter().flatten() {
        let word = word.as_str();
        if ONE.contains(&word) {
            found.push((word, value));
        } else if SEVERAL.contains(&word) {
            let all = value.as_array().into_iter().flatten();
            found.extend(all.map(|value| (word, value)));
        } else if NAMED.contains(&word) {
            let all = value.as_object().into_iter().flatten();
            found.extend(all.map(|(_, value)| (word, value)));
        }
    }
    found
}

/// The same, in the same order.
fn within_mut(schema: &mut Value) -> Vec<(&str, &mut Value)> {
    let mut found = Vec::new();
    for (word, value) in schema.as_object_mut().into_iter().flatten() {
        let word = word.as_str();
        if ONE.contains(&word) {
            found.push((word, value));
        } else if SEVERAL.contains(&word) {
            let all = value.as_array_mut().into_iter().flatten();
            found.extend(all.map(|value| (word, value)));
        } else if NAMED.contains(&word) {
            let all = value.as_object_mut().into_iter().flatten();
            found.extend(all.map(|(_, value)| (word, value)));
        }
    }
    found
}
