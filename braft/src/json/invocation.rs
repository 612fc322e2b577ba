//! A call by name: what the enum of a service's operations is read from.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::Error;

use super::flat::Flat;
use crate::codec;

/// The arguments of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arguments<'a> {
    /// A JSON object.
    Object(&'a [u8]),
    /// Names and texts, as in a query string.
    Flat(&'a [(String, String)]),
}

/// Reads a call of a method as the enum of a service's operations.
pub(super) fn read<T: DeserializeOwned>(
    method: &str,
    arguments: Arguments<'_>,
) -> Result<T, String> {
    match arguments {
        Arguments::Object(text) => {
            // Lists would be taken for arguments without names.
            let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
            if first.is_some_and(|byte| *byte != b'{') {
                return Err("the arguments are not a JSON object".to_owned());
            }
            let text = if first.is_none() { b"{}" } else { text };
            let mut json = serde_json::Deserializer::from_slice(text);
            let call = Invocation {
                method,
                arguments: &mut json,
            };
            let call = codec::read_text::<T, _>(call)?;
            json.end().map_err(|error| error.to_string())?;
            Ok(call)
        }
        Arguments::Flat(parameters) => codec::read_text::<T, _>(Invocation {
            method,
            arguments: Flat(parameters),
        }),
    }
}

struct Invocation<'a, A> {
    method: &'a str,
    arguments: A,
}

impl<'de, A: Deserializer<'de, Error = Error>> Deserializer<'de> for Invocation<'_, A> {
    type Error = Error;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("a call is read as an operation"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de, A: Deserializer<'de, Error = Error>> EnumAccess<'de> for Invocation<'_, A> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        let method: StrDeserializer<'_, Error> = self.method.into_deserializer();
        Ok((seed.deserialize(method)?, self))
    }
}

impl<'de, A: Deserializer<'de, Error = Error>> VariantAccess<'de> for Invocation<'_, A> {
    type Error = Error;

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.arguments
            .deserialize_struct("arguments", fields, visitor)
    }

    fn unit_variant(self) -> Result<(), Error> {
        Err(Error::custom("an operation has named arguments"))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _: S) -> Result<S::Value, Error> {
        Err(Error::custom("an operation has named arguments"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("an operation has named arguments"))
    }
}
