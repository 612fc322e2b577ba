//! Values of any type, invented from the type's own `Deserialize`.
//!
//! The domain is small, so that keys and names collide, with the extremes of numbers now and then.
//! Where the user has named a function for an argument or a type, that makes it.
//!
//! | file | what it holds |
//! |---|---|
//! | `access.rs` | elements, fields, variants |
//! | `made.rs` | what functions of the user's make |
//! | `refused.rs` | why a type cannot be invented, and the way out |

mod access;
mod made;
mod refused;
#[cfg(test)]
mod tests;

use std::any::type_name;

use rand_core::Rng as _;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Visitor};

use self::access::{Chosen, Elements, Fields};
pub(super) use self::refused::InventError;
use self::refused::Refused;
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

/// Invents a command or a query: one variant for each method, one field for each argument.
pub(super) fn invent_call<T: DeserializeOwned>(
    rng: &mut Rng,
    generators: &'static [Generator],
) -> Result<T, InventError> {
    invent_with(rng, generators, true)
}

/// Invents a value.
#[cfg(test)]
fn invent<T: DeserializeOwned>(rng: &mut Rng) -> Result<T, InventError> {
    invent_with(rng, &[], false)
}

fn invent_with<T: DeserializeOwned>(
    rng: &mut Rng,
    generators: &'static [Generator],
    is_call: bool,
) -> Result<T, InventError> {
    let mut refused = Refused::because("nothing was tried");
    for _ in 0..ATTEMPTS {
        let inventor = Inventor {
            rng,
            depth: 0,
            generators,
            is_call,
        };
        match T::deserialize(inventor) {
            Ok(value) => return Ok(value),
            Err(why) => refused = why,
        }
    }
    Err(InventError::new::<T>(refused))
}

/// A number below `bound`.
pub(super) fn below(rng: &mut Rng, bound: u32) -> u32 {
    rng.next_u32() % bound
}

struct Inventor<'r> {
    rng: &'r mut Rng,
    depth: usize,
    /// What the user has named functions for.
    generators: &'static [Generator],
    /// Whether it is a call as a whole.
    is_call: bool,
}

impl Inventor<'_> {
    fn inner(&mut self) -> Inventor<'_> {
        Inventor {
            rng: self.rng,
            depth: self.depth + 1,
            generators: self.generators,
            is_call: false,
        }
    }

    /// Makes or invents a part.
    fn part<'de, S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        match made::of_type(self.generators, type_name::<S::Value>()) {
            Some(generator) => made::part(generator, self.rng, seed),
            None => {
                let value = seed.deserialize(self.inner());
                value.map_err(|refused| refused.of_type(type_name::<S::Value>()))
            }
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
            // What is in an option is asked for without its type; the option tells.
            match made::in_option(self.generators, type_name::<V::Value>()) {
                Some(generator) => made::some(generator, self.rng, visitor),
                None => visitor.visit_some(self.inner()),
            }
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
