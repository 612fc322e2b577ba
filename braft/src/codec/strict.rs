//! Deserializing with an eye on what is ignored: fields that the type does not have.
//!
//! Wraps a deserializer and whatever it hands on, at every depth, keys of maps included; all it does
//! of its own is to take note of what is asked to be ignored, and where.

use std::cell::RefCell;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};

use super::pairs::Pairs;

/// What was ignored first, if anything.
#[derive(Debug, Default)]
pub(super) struct Ignored {
    path: RefCell<Option<Vec<String>>>,
    /// Whether it is text for people: fields have names there, and a map may be a list of pairs.
    is_text: bool,
}

impl Ignored {
    /// For text that people write.
    #[cfg(feature = "http")]
    pub(super) fn in_text() -> Self {
        Ignored {
            is_text: true,
            ..Self::default()
        }
    }

    /// Where it was: "inner.field".
    pub(super) fn path(self) -> Option<String> {
        let mut steps = self.path.into_inner()?;
        steps.reverse();
        Some(steps.join("."))
    }

    fn note(&self) {
        self.path.borrow_mut().get_or_insert_default();
    }

    /// Looks into a part of a value; what is found there first lies below `step`.
    fn within<T>(&self, part: impl FnOnce() -> T, step: impl FnOnce() -> String) -> T {
        let known = self.path.borrow().is_some();
        let result = part();
        if !known && let Some(path) = &mut *self.path.borrow_mut() {
            path.push(step());
        }
        result
    }
}

/// What a list may stand for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    Itself,
    /// Pairs of key and value.
    Map,
    /// Fields without names: refused.
    Fields,
}

/// Something of serde's, watched. With a `key` it is a map's, and text is kept there.
pub(super) struct Strict<'a, T> {
    inner: T,
    ignored: &'a Ignored,
    key: Option<&'a RefCell<String>>,
    list: List,
}

impl<'a, T> Strict<'a, T> {
    pub(super) fn new(inner: T, ignored: &'a Ignored) -> Self {
        Strict {
            inner,
            ignored,
            key: None,
            list: List::Itself,
        }
    }

    /// The same watch on something else.
    fn on<U>(&self, inner: U) -> Strict<'a, U> {
        Strict {
            inner,
            ignored: self.ignored,
            key: self.key,
            list: List::Itself,
        }
    }

    /// The same watch on a visitor that expects no list.
    fn instead_of<U>(&self, list: List, inner: U) -> Strict<'a, U> {
        let list = if self.ignored.is_text {
            list
        } else {
            List::Itself
        };
        Strict {
            list,
            ..self.on(inner)
        }
    }
}

macro_rules! forward_deserialize {
    ($($method:ident($($argument:ident: $type:ty),*)),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(
            self,
            $($argument: $type,)*
            visitor: V,
        ) -> Result<V::Value, D::Error> {
            let visitor = self.on(visitor);
            self.inner.$method($($argument,)* visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<'_, D> {
    type Error = D::Error;

    forward_deserialize!(
        deserialize_any(),
        deserialize_bool(),
        deserialize_i8(),
        deserialize_i16(),
        deserialize_i32(),
        deserialize_i64(),
        deserialize_i128(),
        deserialize_u8(),
        deserialize_u16(),
        deserialize_u32(),
        deserialize_u64(),
        deserialize_u128(),
        deserialize_f32(),
        deserialize_f64(),
        deserialize_char(),
        deserialize_str(),
        deserialize_string(),
        deserialize_bytes(),
        deserialize_byte_buf(),
        deserialize_option(),
        deserialize_unit(),
        deserialize_unit_struct(name: &'static str),
        deserialize_newtype_struct(name: &'static str),
        deserialize_seq(),
        deserialize_tuple(len: usize),
        deserialize_tuple_struct(name: &'static str, len: usize),
        deserialize_enum(name: &'static str, variants: &'static [&'static str]),
        deserialize_identifier(),
    );

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.instead_of(List::Map, visitor);
        if self.ignored.is_text {
            return self.inner.deserialize_any(visitor);
        }
        self.inner.deserialize_map(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = self.instead_of(List::Fields, visitor);
        self.inner.deserialize_struct(name, fields, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.ignored.note();
        self.inner.deserialize_ignored_any(visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! forward_visit {
    ($($method:ident($type:ty)),* $(,)?) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.$method(value)
        }
    )*};
}

impl<V> Strict<'_, V> {
    fn keep(&self, text: &str) {
        if let Some(key) = self.key {
            key.borrow_mut().push_str(text);
        }
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Strict<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    forward_visit!(
        visit_bool(bool),
        visit_i8(i8),
        visit_i16(i16),
        visit_i32(i32),
        visit_i64(i64),
        visit_i128(i128),
        visit_u8(u8),
        visit_u16(u16),
        visit_u32(u32),
        visit_u64(u64),
        visit_u128(u128),
        visit_f32(f32),
        visit_f64(f64),
        visit_char(char),
        visit_bytes(&[u8]),
        visit_borrowed_bytes(&'de [u8]),
        visit_byte_buf(Vec<u8>),
    );

    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        self.keep(text);
        self.inner.visit_str(text)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<V::Value, E> {
        self.keep(text);
        self.inner.visit_borrowed_str(text)
    }

    fn visit_string<E: Error>(self, text: String) -> Result<V::Value, E> {
        self.keep(&text);
        self.inner.visit_string(text)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<V::Value, D::Error> {
        let from = self.on(from);
        self.inner.visit_some(from)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<V::Value, D::Error> {
        let from = self.on(from);
        self.inner.visit_newtype_struct(from)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let elements = Elements {
            inner,
            ignored: self.ignored,
            count: 0,
        };
        match self.list {
            List::Itself => self.inner.visit_seq(elements),
            List::Map => self.inner.visit_map(Pairs(elements)),
            List::Fields => Err(Error::invalid_type(Unexpected::Seq, &self.inner)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(Entries {
            inner,
            ignored: self.ignored,
            key: RefCell::default(),
        })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, from: A) -> Result<V::Value, A::Error> {
        let from = self.on(from);
        self.inner.visit_enum(from)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Strict<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<S::Value, D::Error> {
        let from = self.on(from);
        self.inner.deserialize(from)
    }
}

impl<'a, 'de, A: EnumAccess<'de>> EnumAccess<'de> for Strict<'a, A> {
    type Error = A::Error;
    type Variant = Strict<'a, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let ignored = self.ignored;
        let seed = self.on(seed);
        let (value, variant) = self.inner.variant_seed(seed)?;
        Ok((value, Strict::new(variant, ignored)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Strict<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.on(seed);
        self.inner.newtype_variant_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.on(visitor);
        self.inner.tuple_variant(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.instead_of(List::Fields, visitor);
        self.inner.struct_variant(fields, visitor)
    }
}

struct Elements<'a, A> {
    inner: A,
    ignored: &'a Ignored,
    count: usize,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let (ignored, at) = (self.ignored, self.count);
        self.count += 1;
        let element = || self.inner.next_element_seed(Strict::new(seed, ignored));
        ignored.within(element, || at.to_string())
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

struct Entries<'a, A> {
    inner: A,
    ignored: &'a Ignored,
    /// The last key, if it is text: one buffer for all of a map.
    key: RefCell<String>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.key.borrow_mut().clear();
        let (ignored, key) = (self.ignored, &self.key);
        let seed = Strict {
            key: Some(key),
            ..Strict::new(seed, ignored)
        };
        ignored.within(|| self.inner.next_key_seed(seed), || "(key)".to_owned())
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let (ignored, key) = (self.ignored, &self.key);
        let value = || self.inner.next_value_seed(Strict::new(seed, ignored));
        ignored.within(value, || key.borrow().clone())
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}
