//! Values of any type, invented from the type's own `Deserialize`.
//!
//! The domain is small, so that keys and names collide, with the extremes of numbers now and then.
//! Where the user has named a function for an argument, that makes it.

use std::fmt;

use rand_core::Rng as _;
use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

use crate::codec;
use crate::context::Rng;
use crate::generator::Generator;

/// Attempts for a type that refuses some values.
const ATTEMPTS: usize = 200;
/// Depth below which collections are empty and options are none.
const MAX_DEPTH: usize = 5;
/// Elements of an invented collection.
const MAX_ELEMENTS: u32 = 3;
/// Different small numbers.
const SMALL_NUMBERS: u32 = 8;

/// A type cannot be invented.
#[derive(Debug)]
pub(super) struct InventError {
    type_name: &'static str,
    refused: Refused,
}

impl fmt::Display for InventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = &self.refused.why;
        match &self.refused.place {
            Some(Place {
                method,
                argument,
                type_name,
            }) => write!(
                f,
                "no {type_name} can be invented for the argument `{argument}` of `{method}`: {why}; \
                 name a function that makes one, `#[arg(generate = path)]` before the argument, with \
                 `fn path(rng: &mut braft::Rng) -> {type_name}`"
            ),
            None => write!(f, "no {} can be invented: {why}", self.type_name),
        }
    }
}

impl std::error::Error for InventError {}

/// Invents a command or a query: one variant for each method, one field for each argument.
pub(super) fn invent_call<T: DeserializeOwned>(
    rng: &mut Rng,
    generators: &'static [Generator],
) -> Result<T, InventError> {
    invent_with(rng, Some(generators))
}

/// Invents a value.
#[cfg(test)]
fn invent<T: DeserializeOwned>(rng: &mut Rng) -> Result<T, InventError> {
    invent_with(rng, None)
}

fn invent_with<T: DeserializeOwned>(
    rng: &mut Rng,
    call: Option<&'static [Generator]>,
) -> Result<T, InventError> {
    let mut refused = Refused::because("nothing was tried");
    for _ in 0..ATTEMPTS {
        let inventor = Inventor {
            rng,
            depth: 0,
            call,
        };
        match T::deserialize(inventor) {
            Ok(value) => return Ok(value),
            Err(why) => refused = why,
        }
    }
    Err(InventError {
        type_name: std::any::type_name::<T>(),
        refused,
    })
}

/// A number below `bound`.
pub(super) fn below(rng: &mut Rng, bound: u32) -> u32 {
    rng.next_u32() % bound
}

#[derive(Debug)]
struct Refused {
    why: String,
    /// The argument, in a call.
    place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    method: &'static str,
    argument: &'static str,
    type_name: &'static str,
}

impl Refused {
    fn because(why: impl Into<String>) -> Self {
        Refused {
            why: why.into(),
            place: None,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Refused {}

impl de::Error for Refused {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Refused::because(text.to_string())
    }
}

struct Inventor<'r> {
    rng: &'r mut Rng,
    depth: usize,
    /// Of a call as a whole: what makes its arguments.
    call: Option<&'static [Generator]>,
}

impl Inventor<'_> {
    fn inner(&mut self) -> Inventor<'_> {
        Inventor {
            rng: self.rng,
            depth: self.depth + 1,
            call: None,
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
        Err(Refused::because("it wants the data to say what it is"))
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
        visitor.visit_map(Fields::new(self, None, fields))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let count = u32::try_from(variants.len()).unwrap_or(u32::MAX);
        if count == 0 {
            return Err(Refused::because(format!("enum {name} has no variants")));
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

/// All fields of a struct, or all arguments of a method.
struct Fields<'r> {
    inventor: Inventor<'r>,
    method: Option<&'static str>,
    fields: std::slice::Iter<'static, &'static str>,
    /// The one whose value comes next.
    field: &'static str,
}

impl<'r> Fields<'r> {
    fn new(
        inventor: Inventor<'r>,
        method: Option<&'static str>,
        fields: &'static [&'static str],
    ) -> Self {
        Fields {
            inventor,
            method,
            fields: fields.iter(),
            field: "",
        }
    }

    fn generator(&self) -> Option<&'static Generator> {
        let mut generators = self.inventor.call?.iter();
        generators.find(|generator| {
            Some(generator.method) == self.method && generator.argument == self.field
        })
    }
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
        self.field = field;
        let field: StrDeserializer<'_, Refused> = (*field).into_deserializer();
        seed.deserialize(field).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        let value = match self.generator() {
            Some(generator) => made(generator, self.inventor.rng, seed),
            None => seed.deserialize(self.inventor.inner()),
        };
        value.map_err(|refused| match self.method {
            Some(method) => Refused {
                place: Some(Place {
                    method,
                    argument: self.field,
                    type_name: std::any::type_name::<S::Value>(),
                }),
                ..refused
            },
            None => refused,
        })
    }
}

/// What a function of the user's makes, by the way it travels.
fn made<'de, S: DeserializeSeed<'de>>(
    generator: &Generator,
    rng: &mut Rng,
    seed: S,
) -> Result<S::Value, Refused> {
    let bytes = (generator.make)(rng).into_bytes();
    let bytes = bytes.map_err(|error| Refused::because(error.to_string()))?;
    codec::decode_seed(&bytes, seed)
        .map_err(|error| Refused::because(format!("what was made does not read back: {error}")))
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
        let content = Content {
            inventor: self.inventor,
            variant: self.variant,
        };
        Ok((seed.deserialize(name)?, content))
    }
}

/// What a variant holds.
struct Content<'r> {
    inventor: Inventor<'r>,
    variant: &'static str,
}

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = Refused;

    fn unit_variant(self) -> Result<(), Refused> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(
        mut self,
        seed: S,
    ) -> Result<S::Value, Refused> {
        seed.deserialize(self.inventor.inner())
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_seq(Elements::new(self.inventor, length))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let method = self.inventor.call.map(|_| self.variant);
        visitor.visit_map(Fields::new(self.inventor, method, fields))
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

        #[derive(Debug, Deserialize)]
        enum Calls {
            #[serde(rename = "draw")]
            Draw {
                #[expect(dead_code)]
                shape: Loose,
            },
        }
        let error = invent_call::<Calls>(&mut Rng::new(1, 0), &[]).expect_err("untagged");
        let error = error.to_string();
        for part in [
            "Loose can be invented for the argument `shape` of `draw`",
            "generate = path",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn an_argument_is_made_by_the_function_that_is_named_for_it_alone() {
        #[derive(Debug, Deserialize)]
        enum Calls {
            Draw { size: u64, shape: Option<u64> },
            Move { size: u64 },
        }
        const LARGE: u64 = 1 << 40;
        let generators: &[Generator] = &[Generator {
            method: "Draw",
            argument: "size",
            make: |rng| crate::generator::generated(&(LARGE + rng.below(2))),
        }];
        let (mut drawn, mut rng) = (BTreeSet::new(), Rng::new(5, 0));
        for _ in 0..100 {
            match invent_call(&mut rng, generators).expect("a call") {
                Calls::Draw { size, shape } => {
                    assert_ne!(shape, Some(LARGE));
                    drawn.insert(size);
                }
                Calls::Move { size } => assert!(size < LARGE || size == u64::MAX),
            }
        }
        assert_eq!(drawn, BTreeSet::from([LARGE, LARGE + 1]));
    }
}
