//! JSON Schemas of types: what they say themselves, or what they ask for as they are read.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::own::{Owned, import};
use super::responses::problem;
use crate::machine::caught;
use crate::schema::{Maker, Node, Way};

/// The schemas of types with names, referred to by their names.
#[derive(Default)]
pub(super) struct Schemas {
    named: Vec<Named>,
    /// The names of the types around the present one: a type inside itself refers to one of them.
    around: Vec<String>,
    /// Which of them are definitions of types that say themselves what they are.
    pub(super) owned: Vec<Owned>,
}

struct Named {
    name: String,
    /// What it is the schema of, unless that depends on what is around.
    of: Option<Node>,
    schema: Value,
}

/// The name of a part, as it was before it was made fit for a line of text.
pub(super) fn label(node: &Node) -> Cow<'_, str> {
    let quoted = node
        .label
        .strip_prefix('"')
        .and_then(|label| label.strip_suffix('"'));
    let Some(mut rest) = quoted else {
        return Cow::Borrowed(&node.label);
    };
    let mut plain = String::new();
    while let Some((before, after)) = rest.split_once("\\u{") {
        plain.push_str(before);
        let (code, after) = after.split_once('}').unwrap_or((after, ""));
        let character = u32::from_str_radix(code, 16).ok().and_then(char::from_u32);
        plain.extend(character);
        rest = after;
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

impl Schemas {
    /// The schema of a type: its own, if it has one.
    pub(super) fn best(&mut self, node: &Node, own: Option<Maker>, way: Way) -> Value {
        // Of a map whose keys are no words JSON has pairs here, which no type knows of itself.
        let own = own.filter(|_| !has_pairs(node));
        // What makes it is the user's in part.
        match own.map(|make| caught(|| make(way))) {
            Some(Ok(own)) => import(own, self),
            Some(Err(panic)) => {
                tracing::warn!(
                    panic,
                    "the JsonSchema of a type panicked: /openapi.json has it traced"
                );
                self.of(node)
            }
            None => self.of(node),
        }
    }

    /// Keeps a name free for a schema that is given later.
    pub(super) fn take_name(&mut self, name: &str) -> String {
        let name = self.free_name(name);
        self.named.push(Named {
            name: name.clone(),
            of: None,
            schema: Value::Null,
        });
        name
    }

    /// Gives the schema of a name that was taken.
    pub(super) fn fill(&mut self, name: &str, schema: Value) {
        let mut named = self.named.iter_mut();
        if let Some(named) = named.find(|named| named.name == name) {
            named.schema = schema;
        }
    }

    /// The schema of a type that was traced.
    fn of(&mut self, node: &Node) -> Value {
        let (word, name) = node.kind.split_once(' ').unwrap_or((&node.kind, ""));
        match (word, name) {
            ("struct" | "enum", name) if !name.is_empty() => self.reference(node, name),
            ("struct", _) => self.object(node),
            ("again", up) => self.again(up),
            ("tuple", length) => self.tuple(node, length),
            ("option", _) => {
                let some = self.child(node, 0);
                json!({ "anyOf": [some, { "type": "null" }] })
            }
            ("list", _) => json!({ "type": "array", "items": self.child(node, 0) }),
            ("map", _) => self.map(node),
            ("bytes", _) => json!({ "type": "array", "items": integer(Some(0), Some(255)) }),
            ("unit", _) => json!({ "type": "null" }),
            ("bool", _) => json!({ "type": "boolean" }),
            ("char", _) => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
            ("string", _) => json!({ "type": "string" }),
            ("f32", _) => json!({ "type": "number", "format": "float" }),
            ("f64", _) => json!({ "type": "number", "format": "double" }),
            (number, _) => number_schema(number).unwrap_or_else(|| {
                if matches!(number, "untraced" | "any") {
                    let part = label(node);
                    tracing::warn!(%part, "a type cannot be traced: /openapi.json has it as any JSON");
                }
                json!({ "description": "Any JSON: the type does not say what it takes." })
            }),
        }
    }

    /// Whether a value is a word that stands in a query string as it is.
    pub(super) fn is_word(node: &Node) -> bool {
        match node.kind.as_str() {
            "string" | "char" | "bool" | "f32" | "f64" => true,
            kind if kind.starts_with("enum ") => node.children.iter().all(is_unit),
            kind => number_schema(kind).is_some(),
        }
    }

    /// All named schemas.
    pub(super) fn finish(self) -> Value {
        let named = self
            .named
            .into_iter()
            .map(|named| (named.name, named.schema));
        let problem = ("Problem".to_owned(), problem());
        named.chain([problem]).collect::<Map<_, _>>().into()
    }

    fn child(&mut self, node: &Node, at: usize) -> Value {
        node.children
            .get(at)
            .map_or_else(|| json!({}), |child| self.of(child))
    }

    fn again(&self, up: &str) -> Value {
        let up = up
            .strip_suffix(" up")
            .and_then(|up| up.parse::<usize>().ok());
        let at = up.and_then(|up| self.around.len().checked_sub(up));
        match at.and_then(|at| self.around.get(at)) {
            Some(name) => json!({ "$ref": format!("#/components/schemas/{name}") }),
            None => json!({}),
        }
    }

    /// A type with a name, which stands among the components once.
    fn reference(&mut self, node: &Node, name: &str) -> Value {
        let refers = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
        let depends = reaches_out(node, 0);
        let same = self.named.iter().find(|named| {
            let of = named.of.as_ref();
            of.is_some_and(|of| of.kind == node.kind && of.children == node.children)
        });
        if let Some(same) = same {
            return refers(&same.name);
        }
        let name = self.free_name(name);
        let at = self.named.len();
        self.named.push(Named {
            name: name.clone(),
            of: (!depends).then(|| node.clone()),
            schema: Value::Null,
        });
        self.around.push(name.clone());
        let schema = if node.kind.starts_with("enum ") {
            self.choice(node)
        } else {
            self.object(node)
        };
        self.around.pop();
        self.named[at].schema = schema;
        refers(&name)
    }

    /// The name of a type, told apart from that of others.
    fn free_name(&self, name: &str) -> String {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let name: String = name
            .chars()
            .map(|c| if fits(c) { c } else { '_' })
            .collect();
        let is_free =
            |name: &String| name != "Problem" && self.named.iter().all(|named| named.name != *name);
        let numbered = (2..).map(|number| format!("{name}{number}"));
        let mut names = [name.clone()].into_iter().chain(numbered);
        names.find(is_free).expect("numbers do not end")
    }

    fn object(&mut self, node: &Node) -> Value {
        let fields = node.children.iter();
        let fields = fields.map(|field| (label(field).into_owned(), self.of(field)));
        let properties: Map<_, _> = fields.collect();
        let required = node.children.iter().filter(|field| field.kind != "option");
        let required: Vec<_> = required.map(label).collect();
        json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    }

    fn choice(&mut self, node: &Node) -> Value {
        if node.children.iter().all(is_unit) {
            let names: Vec<_> = node.children.iter().map(label).collect();
            return json!({ "type": "string", "enum": names });
        }
        let variants = node.children.iter().map(|variant| {
            let name = label(variant);
            if is_unit(variant) {
                return json!({ "const": name });
            }
            let inside = self.of(variant);
            json!({
                "type": "object",
                "properties": { &*name: inside },
                "required": [name],
                "additionalProperties": false,
            })
        });
        json!({ "oneOf": variants.collect::<Vec<_>>() })
    }

    fn tuple(&mut self, node: &Node, length: &str) -> Value {
        let length: usize = length.trim_start_matches("of ").parse().unwrap_or(0);
        if length != node.children.len() {
            let each = self.child(node, 0);
            let (least, most) = (length, length);
            return json!({ "type": "array", "items": each, "minItems": least, "maxItems": most });
        }
        let parts: Vec<_> = node.children.iter().map(|part| self.of(part)).collect();
        if parts.is_empty() {
            return json!({ "type": "array", "maxItems": 0 });
        }
        json!({ "type": "array", "prefixItems": parts, "minItems": length, "maxItems": length })
    }

    /// An object, or pairs if a key is neither text nor a number.
    fn map(&mut self, node: &Node) -> Value {
        let value = self.child(node, 1);
        let object = json!({ "type": "object", "additionalProperties": value });
        let Some(key) = node.children.first() else {
            return object;
        };
        if let Some(pattern) = number_pattern(&key.kind) {
            let names = json!({ "pattern": pattern });
            return json!({
                "type": "object", "additionalProperties": value, "propertyNames": names,
            });
        }
        if is_name(key) {
            return object;
        }
        let pair = json!({
            "type": "array",
            "prefixItems": [self.of(key), value],
            "minItems": 2,
            "maxItems": 2,
        });
        let none = json!({ "type": "object", "maxProperties": 0 });
        let pairs = json!({ "type": "array", "items": pair });
        // Of an enum whose keys happen to be names alone an object is made.
        let all = if key.kind.starts_with("enum ") {
            object
        } else {
            none
        };
        json!({ "anyOf": [pairs, all] })
    }
}

/// Whether a key of a map is a name in JSON.
fn is_name(key: &Node) -> bool {
    Schemas::is_word(key) || matches!(key.kind.as_str(), "any" | "untraced" | "")
}

/// Whether there is a map within that JSON has as pairs.
fn has_pairs(node: &Node) -> bool {
    let mut keys = node.children.iter().take(1);
    let is_pairs = node.kind == "map" && keys.any(|key| !is_name(key));
    is_pairs || node.children.iter().any(has_pairs)
}

fn is_unit(variant: &Node) -> bool {
    variant.kind == "unit"
}

/// Whether something within refers to a type around it.
fn reaches_out(node: &Node, depth: usize) -> bool {
    if let Some(up) = node.kind.strip_prefix("again ") {
        let up = up
            .strip_suffix(" up")
            .and_then(|up| up.parse::<usize>().ok());
        return up.is_none_or(|up| up > depth);
    }
    let is_named = node.kind.starts_with("struct ") || node.kind.starts_with("enum ");
    let depth = depth + usize::from(is_named);
    node.children.iter().any(|child| reaches_out(child, depth))
}

fn integer(minimum: Option<i64>, maximum: Option<u64>) -> Value {
    let mut schema = json!({ "type": "integer" });
    if let Some(minimum) = minimum {
        schema["minimum"] = minimum.into();
    }
    if let Some(maximum) = maximum {
        schema["maximum"] = maximum.into();
    }
    schema
}

/// The schema of a kind of whole number. What 64 bits do not hold is not said.
fn number_schema(kind: &str) -> Option<Value> {
    let bits: u32 = kind.get(1..)?.parse().ok()?;
    let (minimum, maximum) = match (kind.as_bytes()[0], bits) {
        (b'u', 128) => (Some(0), None),
        (b'i', 128) => (None, None),
        (b'u', 8 | 16 | 32 | 64) => (Some(0), Some(u64::MAX >> (64 - bits))),
        (b'i', 8 | 16 | 32 | 64) => (Some(i64::MIN >> (64 - bits)), Some(u64::MAX >> (65 - bits))),
        _ => return None,
    };
    Some(integer(minimum, maximum))
}

fn number_pattern(kind: &str) -> Option<&'static str> {
    number_schema(kind)?;
    Some(match kind.as_bytes()[0] {
        b'u' => "^(0|[1-9][0-9]*)$",
        _ => "^(0|-?[1-9][0-9]*)$",
    })
}
