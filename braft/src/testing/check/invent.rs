//! Values of any type, invented from the type's own `Deserialize`.
//!
//! The domain is small, so that keys and names collide, with the extremes of numbers now and then.

use std::fmt;

use rand_core::Rng as _;
use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

use crate::context::Rng;

/// Attempts for a type that refuses some values.
const ATTEMPTS: usize = 200;
/// Depth below which collections are empty and options are none.
const MAX_DEPTH: usize = 5;
/// Elements of an invented collection.
const MAX_ELEMENTS: u32 = 3;
/// Different small numbers.
const SMALL_NUMBERS: u32 = 8;

/// A type cannot be invented.
#[derive(Debug, thiserror::Error)]
#[error(
    "no {type_name} can be invented: {reason}; for a type that describes itself (untagged, \
     flattened) or refuses most values, write a wrapper whose `Deserialize` accepts simple ones"
)]
pub(super) struct InventError {
    type_name: &'static str,
    reason: String,
}

/// Invents a value.
pub(super) fn invent<T: DeserializeOwned>(rng: &mut Rng) -> Result<T, InventError> {
    let mut reason = String::new();
    for _ in 0..ATTEMPTS {
        match T::deserialize(Inventor { rng, depth: 0 }) {
            Ok(value) => return Ok(value),
            Err(Refused(why)) => reason = why,
        }
    }
    Err(InventError {
        type_name: std::any::type_name::<T>(),
        reason,
    })
}

/// A number below `bound`.
pub(super) fn below(rng: &mut Rng, bound: u32) -> u32 {
    rng.next_u32() % bound
}

#[derive(Debug)]
struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

impl de::Error for Refused {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Refused(text.to_string())
    }
}

struct Inventor<'r> {
    rng: &'r mut Rng,
    depth: usize,
}

impl Inventor<'_> {
    fn inner(&mut self) -> Inventor<'_> {
        Inventor {
            rng: self.rng,
            depth: self.depth + 1,
        }
    }

    fn elements(&mut self) -> u32 {
        if self.depth >= MAX_DEPTH {
            0
        } else {
            below(self.rng, MAX_ELEMENTS + 1)
        }
    }

    fn letter(&mut self) -> char {
        char::from(b'a' + (below(self.rng, 3) as u8))
    }

    fn text(&mut self) -> String {
        (0..below(self.rng, 3)).map(|_| self.letter()).collect()
    }

    /// Mostly short; 16 bytes now and then, which ids of many kinds want.
    fn bytes(&mut self) -> Vec<u8> {
        let length = match below(self.rng, 4) {
            0 => 16,
            short => short,
        };
        (0..length).map(|_| below(self.rng, 3) as u8).collect()
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
            let number = match below(self.rng, 10) {
                0 => <$type>::MAX,
                1 => <$type>::MIN,
                _ => below(self.rng, SMALL_NUMBERS) as $type,
            };
            visitor.$visit(number)
        }
    )*};
}

impl<'de> Deserializer<'de> for Inventor<'_> {
    type Error = Refused;

    numbers! {
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
        deserialize_i128 visit_i128 i128,
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
        deserialize_u128 visit_u128 u128,
        deserialize_f32 visit_f32 f32,
        deserialize_f64 visit_f64 f64,
    }

    // As on the wire: types that have a form for people and one for machines use the latter.
    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
        Err(Refused("it wants the data to say what it is".to_owned()))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_unit()
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_bool(below(self.rng, 2) == 0)
    }

    fn deserialize_char<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        let letter = self.letter();
        visitor.visit_char(letter)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        let text = self.text();
        visitor.visit_string(text)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_byte_buf(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        let bytes = self.bytes();
        visitor.visit_byte_buf(bytes)
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        if self.depth < MAX_DEPTH && below(self.rng, 2) == 0 {
            visitor.visit_some(self.inner())
        } else {
            visitor.visit_none()
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        let left = self.elements() as usize;
        visitor.visit_seq(Elements::new(self, left))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_seq(Elements::new(self, length))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_seq(Elements::new(self, length))
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        let left = self.elements() as usize;
        visitor.visit_map(Elements::new(self, left))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_map(Fields {
            inventor: self,
            fields: fields.iter(),
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let count = u32::try_from(variants.len()).unwrap_or(u32::MAX);
        if count == 0 {
            return Err(Refused(format!("enum {name} has no variants")));
        }
        let variant = variants[below(self.rng, count) as usize];
        visitor.visit_enum(Chosen {
            inventor: self,
            variant,
        })
    }
}

/// So many elements of a list or a map.
struct Elements<'r> {
    inventor: Inventor<'r>,
    left: usize,
}

impl<'r> Elements<'r> {
    fn new(inventor: Inventor<'r>, left: usize) -> Self {
        Elements { inventor, left }
    }

    fn take(&mut self) -> bool {
        let more = self.left > 0;
        self.left = self.left.saturating_sub(1);
        more
    }
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Refused;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Refused> {
        let more = self.take();
        more.then(|| seed.deserialize(self.inventor.inner()))
            .transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for Elements<'_> {
    type Error = Refused;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Refused> {
        let more = self.take();
        more.then(|| seed.deserialize(self.inventor.inner()))
            .transpose()
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        seed.deserialize(self.inventor.inner())
    }
}

/// All fields of a struct.
struct Fields<'r> {
    inventor: Inventor<'r>,
    fields: std::slice::Iter<'static, &'static str>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Refused;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Refused> {
        let Some(field) = self.fields.next() else {
            return Ok(None);
        };
        let field: StrDeserializer<'_, Refused> = (*field).into_deserializer();
        seed.deserialize(field).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        seed.deserialize(self.inventor.inner())
    }
}

/// One variant of an enum.
struct Chosen<'r> {
    inventor: Inventor<'r>,
    variant: &'static str,
}

impl<'de, 'r> EnumAccess<'de> for Chosen<'r> {
    type Error = Refused;
    type Variant = Content<'r>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Content<'r>), Refused> {
        let name: StrDeserializer<'_, Refused> = self.variant.into_deserializer();
        Ok((seed.deserialize(name)?, Content(self.inventor)))
    }
}

/// What a variant holds.
struct Content<'r>(Inventor<'r>);

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = Refused;

    fn unit_variant(self) -> Result<(), Refused> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(
        mut self,
        seed: S,
    ) -> Result<S::Value, Refused> {
        seed.deserialize(self.0.inner())
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_seq(Elements::new(self.0, length))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.0.deserialize_struct("", fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::net::IpAddr;
    use std::num::NonZeroU8;
    use std::time::Duration;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
    enum Shape {
        Point,
        Circle(u8),
        Box(u8, i64),
        Named {
            name: String,
            tags: Vec<Option<char>>,
        },
    }

    #[derive(Debug, Deserialize)]
    struct Everything {
        shape: Shape,
        map: BTreeMap<String, (bool, f32)>,
        bytes: Vec<u8>,
        address: IpAddr,
        least: NonZeroU8,
        time: Duration,
        nested: Option<Box<Everything>>,
    }

    #[test]
    fn all_kinds_of_types_are_invented_and_vary() {
        let mut rng = Rng::new(7, 0);
        let shapes: BTreeSet<Shape> = (0..200)
            .map(|_| invent(&mut rng).expect("a shape"))
            .collect();
        let kinds: BTreeSet<_> = shapes
            .iter()
            .map(std::mem::discriminant)
            .map(|kind| format!("{kind:?}"))
            .collect();
        assert_eq!(kinds.len(), 4);
        let deep = (0..200).map(|_| invent::<Everything>(&mut rng).expect("everything"));
        let nested = deep.filter(|all| {
            assert!(all.least.get() > 0 && all.map.len() <= 3 && all.bytes.len() <= 16);
            let _ = (&all.shape, all.address, all.time);
            all.nested.is_some()
        });
        assert!(nested.count() > 10);
    }

    #[test]
    fn values_collide() {
        let mut rng = Rng::new(1, 0);
        let keys: BTreeSet<String> = (0..200).map(|_| invent(&mut rng).expect("text")).collect();
        assert!(keys.len() < 20, "{keys:?}");
    }

    #[test]
    fn one_seed_invents_the_same_again() {
        let draw = |seed| {
            let mut rng = Rng::new(seed, 0);
            format!(
                "{:?}",
                (0..20)
                    .map(|_| invent::<Shape>(&mut rng).expect("a shape"))
                    .collect::<Vec<_>>()
            )
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }

    #[test]
    fn a_type_that_cannot_be_invented_is_named() {
        #[derive(Debug, Deserialize)]
        #[serde(untagged)]
        enum Loose {
            #[expect(dead_code)]
            Text(String),
        }
        let error = invent::<Loose>(&mut Rng::new(1, 0)).expect_err("untagged");
        assert!(error.to_string().contains("Loose"), "{error}");
    }
}
