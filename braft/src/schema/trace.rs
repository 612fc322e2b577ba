//! The shape of a type, found out by letting its `Deserialize` ask for what it wants.
//!
//! One run sees one variant of each enum and one way through each option, so there are as many runs
//! as it takes. Each goes to a part of the tree that is not known yet, and feeds what is known with
//! any value that will do.

mod access;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::de::{self, DeserializeOwned, Deserializer, Visitor};

use self::access::{Chosen, Elements, Fields};
use super::node::{Node, name};

/// Runs without anything new after which the rest is given up as untraced.
const MAX_IDLE_RUNS: usize = 64;
/// Runs for one type: far more than types have variants.
const MAX_RUNS: usize = 10_000;
/// How deep values are made for types that contain themselves.
const MAX_DEPTH: usize = 48;
/// What types that are written as text may accept.
const TEXTS: [&str; 8] = [
    "a",
    "",
    "0",
    "127.0.0.1",
    "127.0.0.1:1",
    "http://a/",
    "2000-01-01T00:00:00Z",
    "00000000-0000-0000-0000-000000000001",
];
/// Lengths that types which are written as bytes may accept.
const LENGTHS: [usize; 4] = [0, 16, 32, 4];

/// The kind of a type that says nothing of itself before it sees data: untagged enums, flattened
/// fields, JSON values.
const ANY: &str = "any";
/// The kind of what could not be reached, because a part before it refused all values.
const UNTRACED: &str = "untraced";
/// The kind of a type inside itself.
const AGAIN: &str = "again";

/// The shape of a type, as it travels.
pub(super) fn shape<T: DeserializeOwned>() -> Node {
    traced::<T>(false)
}

/// The shape of a type as people write it: an address is a text there, say.
#[cfg(feature = "http")]
pub(crate) fn text_shape<T: DeserializeOwned>() -> Node {
    traced::<T>(true)
}

fn traced<T: DeserializeOwned>(is_text: bool) -> Node {
    let mut root = Node::new("");
    let (mut idle, mut size) = (0, 0);
    for _ in 0..MAX_RUNS {
        let tracer = Tracer {
            slot: Some(&mut root),
            around: Around::new(),
            attempt: idle,
            depth: 0,
            is_text,
        };
        // A refusal teaches as much as a value: what was asked for until then is noted.
        drop(T::deserialize(tracer));
        if is_known(&root) {
            return root;
        }
        let grown = count(&root);
        idle = if grown > size { 0 } else { idle + 1 };
        size = grown;
        if idle > MAX_IDLE_RUNS {
            break;
        }
    }
    give_up(&mut root);
    root
}

fn is_known(node: &Node) -> bool {
    !node.kind.is_empty() && node.children.iter().all(is_known)
}

fn count(node: &Node) -> usize {
    usize::from(!node.kind.is_empty()) + node.children.iter().map(count).sum::<usize>()
}

fn give_up(node: &mut Node) {
    if node.kind.is_empty() {
        node.kind = UNTRACED.to_owned();
    }
    node.children.iter_mut().for_each(give_up);
}

/// A value was refused, by the type or by the tracer.
#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl std::error::Error for Refused {}

impl de::Error for Refused {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Refused
    }
}

/// The types around a value: name and parts.
type Around = Vec<(&'static str, &'static [&'static str])>;

struct Tracer<'t> {
    /// Where the shape goes; nothing while a value is made for a type that is known.
    slot: Option<&'t mut Node>,
    around: Around,
    /// Counts up while nothing new is found, so that other values are tried.
    attempt: usize,
    depth: usize,
    /// Whether types show the form that is meant for people.
    is_text: bool,
}

impl<'t> Tracer<'t> {
    /// Notes the kind of a type, and makes room for its parts; both only once.
    fn note<'l>(&mut self, kind: &str, parts: impl IntoIterator<Item = &'l str>) {
        let Some(slot) = &mut self.slot else { return };
        if slot.kind.is_empty() {
            slot.kind = kind.to_owned();
            slot.children = parts
                .into_iter()
                .map(|part| Node::new(&name(part)))
                .collect();
        }
    }

    /// Whether there is something left to be found out below.
    fn is_open(&self) -> bool {
        self.slot.as_ref().is_some_and(|slot| !is_known(slot))
    }

    /// A type with a name begins. Inside itself it is not spelled out again.
    fn enter(
        &mut self,
        kind: &str,
        type_name: &'static str,
        parts: &'static [&'static str],
    ) -> Result<(), Refused> {
        if self.depth > MAX_DEPTH {
            return Err(Refused);
        }
        let this = (type_name, parts);
        if let Some(at) = self.around.iter().rposition(|other| *other == this) {
            let up = self.around.len() - at;
            self.note(&format!("{AGAIN} {up} up"), []);
            self.slot = None;
        }
        self.note(
            &format!("{kind} {}", name(type_name)),
            parts.iter().copied(),
        );
        self.around.push(this);
        Ok(())
    }

    /// A tracer for one of the parts.
    fn part(&mut self, at: usize) -> Tracer<'_> {
        let slot = self.slot.as_deref_mut();
        Tracer {
            slot: slot.and_then(|slot| slot.children.get_mut(at)),
            around: self.around.clone(),
            attempt: self.attempt,
            depth: self.depth + 1,
            is_text: self.is_text,
        }
    }

    fn elements(self, left: usize, parts: usize) -> Elements<'t> {
        Elements {
            tracer: self,
            at: 0,
            left,
            parts,
        }
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $kind:literal $type:ty),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
            self.note($kind, []);
            // One first: some types refuse zero.
            visitor.$visit(((self.attempt + 1) % 4) as u8 as $type)
        }
    )*};
}

macro_rules! alike {
    ($($method:ident),* as $same:ident) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
            self.$same(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Refused;

    numbers! {
        deserialize_i8 visit_i8 "i8" i8,
        deserialize_i16 visit_i16 "i16" i16,
        deserialize_i32 visit_i32 "i32" i32,
        deserialize_i64 visit_i64 "i64" i64,
        deserialize_i128 visit_i128 "i128" i128,
        deserialize_u8 visit_u8 "u8" u8,
        deserialize_u16 visit_u16 "u16" u16,
        deserialize_u32 visit_u32 "u32" u32,
        deserialize_u64 visit_u64 "u64" u64,
        deserialize_u128 visit_u128 "u128" u128,
        deserialize_f32 visit_f32 "f32" f32,
        deserialize_f64 visit_f64 "f64" f64,
    }

    alike!(deserialize_str as deserialize_string);
    alike!(deserialize_bytes as deserialize_byte_buf);
    alike!(
        deserialize_identifier,
        deserialize_ignored_any as deserialize_any
    );

    // On the wire types that have a form for people and one for machines use the latter.
    fn is_human_readable(&self) -> bool {
        self.is_text
    }

    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.note(ANY, []);
        match self.attempt % 3 {
            0 => visitor.visit_unit(),
            1 => visitor.visit_u64(1),
            _ => visitor.visit_str(TEXTS[0]),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.note("bool", []);
        visitor.visit_bool(self.attempt.is_multiple_of(2))
    }

    fn deserialize_char<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.note("char", []);
        visitor.visit_char('a')
    }

    fn deserialize_string<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.note("string", []);
        visitor.visit_str(TEXTS[self.attempt % TEXTS.len()])
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.note("bytes", []);
        visitor.visit_byte_buf(vec![1; LENGTHS[self.attempt % LENGTHS.len()]])
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.note("option", ["some"]);
        if self.is_open() {
            visitor.visit_some(self.part(0))
        } else {
            visitor.visit_none()
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.note("unit", []);
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.deserialize_unit(visitor)
    }

    // Travels as what is inside.
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.note("list", ["each"]);
        let left = usize::from(self.is_open());
        visitor.visit_seq(self.elements(left, 1))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        mut self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let parts: Vec<_> = (0..length).map(|at| at.to_string()).collect();
        // An array of many is described by one of them.
        let parts = if length > 16 { &parts[..1] } else { &parts[..] };
        self.note(
            &format!("tuple of {length}"),
            parts.iter().map(String::as_str),
        );
        let parts = parts.len();
        visitor.visit_seq(self.elements(length, parts))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.note("map", ["key", "value"]);
        let left = usize::from(self.is_open());
        visitor.visit_map(self.elements(left, 2))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        type_name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.enter("struct", type_name, fields)?;
        visitor.visit_map(Fields {
            tracer: self,
            fields,
            at: 0,
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        type_name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.enter("enum", type_name, variants)?;
        if variants.is_empty() {
            return Err(Refused);
        }
        let unknown = self.slot.as_ref().and_then(|slot| {
            let mut parts = slot.children.iter();
            parts.position(|variant| !is_known(variant))
        });
        let at = unknown.unwrap_or(self.attempt % variants.len());
        visitor.visit_enum(Chosen {
            tracer: self,
            variant: variants[at],
            at,
        })
    }
}
