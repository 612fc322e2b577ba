//! MessagePack with field names, read strictly.
//!
//! A replica that silently dropped a field it does not know would diverge from one that does not,
//! so unknown fields are refused at every depth, and so are bytes after the value.

mod pairs;
mod strict;

use std::collections::BTreeMap;
use std::io::{Read, Write};

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use strict::{Ignored, Strict};

/// The deepest nesting a value may have. Bounds the stack a hostile value can use.
pub(crate) const MAX_DEPTH: usize = 64;

/// A value has no MessagePack form.
#[derive(Debug, thiserror::Error)]
#[error("the value cannot be encoded: {0}")]
pub(crate) struct EncodeError(#[from] rmp_serde::encode::Error);

/// Bytes are not the value they were taken for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("not a valid {type_name}: {source}")]
    Invalid {
        type_name: &'static str,
        source: rmp_serde::decode::Error,
    },
    #[error("unknown field `{path}` in {type_name}: it was written by a newer version")]
    UnknownField {
        type_name: &'static str,
        path: String,
    },
    #[error("{count} bytes follow the {type_name}")]
    Trailing {
        type_name: &'static str,
        count: usize,
    },
}

/// Encodes with field names.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, EncodeError> {
    Ok(rmp_serde::to_vec_named(value)?)
}

/// Encodes with field names into a writer.
pub(crate) fn encode_into<T: Serialize + ?Sized>(
    value: &T,
    out: &mut dyn Write,
) -> Result<(), EncodeError> {
    let mut out = out;
    Ok(rmp_serde::encode::write_named(&mut out, value)?)
}

/// Decodes exactly one value; refuses unknown fields and trailing bytes.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut rest = bytes;
    let value = decode_from(&mut rest)?;
    if rest.is_empty() {
        return Ok(value);
    }
    Err(DecodeError::Trailing {
        type_name: std::any::type_name::<T>(),
        count: rest.len(),
    })
}

/// Decodes one value from a reader; refuses unknown fields.
pub(crate) fn decode_from<T: DeserializeOwned>(from: impl Read) -> Result<T, DecodeError> {
    let type_name = std::any::type_name::<T>();
    let mut deserializer = rmp_serde::Deserializer::new(from);
    deserializer.set_max_depth(MAX_DEPTH);
    let ignored = Ignored::default();
    let value = T::deserialize(Strict::new(&mut deserializer, &ignored))
        .map_err(|source| DecodeError::Invalid { type_name, source })?;
    match ignored.path() {
        None => Ok(value),
        Some(path) => Err(DecodeError::UnknownField { type_name, path }),
    }
}

/// Decodes what a seed takes, as a part of another value would be read.
#[cfg(feature = "testing")]
pub(crate) fn decode_seed<'de, S: serde::de::DeserializeSeed<'de>>(
    bytes: &[u8],
    seed: S,
) -> Result<S::Value, rmp_serde::decode::Error> {
    let mut deserializer = rmp_serde::Deserializer::new(bytes);
    deserializer.set_max_depth(MAX_DEPTH);
    seed.deserialize(&mut deserializer)
}

/// Decodes what is in an option.
#[cfg(feature = "testing")]
pub(crate) fn decode_some<'de, V: serde::de::Visitor<'de>>(
    bytes: &[u8],
    option: V,
) -> Result<V::Value, rmp_serde::decode::Error> {
    let mut deserializer = rmp_serde::Deserializer::new(bytes);
    deserializer.set_max_depth(MAX_DEPTH);
    option.visit_some(&mut deserializer)
}

/// Reads a value that people wrote. Refuses unknown fields, and lists in the place of named fields.
#[cfg(feature = "http")]
pub(crate) fn read_text<'de, T, D>(from: D) -> Result<T, String>
where
    T: Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    let ignored = Ignored::in_text();
    let value = T::deserialize(Strict::new(from, &ignored));
    match (value, ignored.path()) {
        (Ok(value), None) => Ok(value),
        (Err(error), None) => Err(error.to_string()),
        (Ok(_), Some(path)) => Err(format!("unknown name `{path}`")),
        // A name that is misspelled is both.
        (Err(error), Some(path)) => Err(format!("unknown name `{path}`, and {error}")),
    }
}

/// The name of an enum's variant, if the bytes are one with fields.
pub(crate) fn variant_name(bytes: &[u8]) -> Option<String> {
    let mut deserializer = rmp_serde::Deserializer::new(bytes);
    deserializer.set_max_depth(MAX_DEPTH);
    let variant = BTreeMap::<String, IgnoredAny>::deserialize(&mut deserializer).ok()?;
    variant.into_keys().next()
}

/// The name of the operation in a call's bytes, without reading the rest: a map's first key, as
/// generated code writes it. A foreign encoding of the same may not be understood.
pub(crate) fn operation(bytes: &[u8]) -> Option<&[u8]> {
    const MAP_OF_ONE: u8 = 0x81;
    const TEXT_8: u8 = 0xd9;
    let bytes = match bytes {
        [MAP_OF_ONE, rest @ ..] => rest,
        _ => bytes,
    };
    match bytes {
        [len @ 0xa0..=0xbf, rest @ ..] => rest.get(..usize::from(len & 0x1f)),
        [TEXT_8, len, rest @ ..] => rest.get(..usize::from(*len)),
        _ => None,
    }
}

/// `Bytes` as a MessagePack byte string.
pub(crate) mod byte_string {
    use bytes::Bytes;
    use serde::{Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Bytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a byte string")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes::copy_from_slice(bytes))
            }
            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(bytes.into())
            }
        }
        from.deserialize_byte_buf(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Old {
        inner: Inner,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Inner {
        a: u8,
    }
    #[derive(Serialize)]
    struct New {
        inner: NewInner,
    }
    #[derive(Serialize)]
    struct NewInner {
        a: u8,
        b: u8,
    }

    #[test]
    fn reads_back_what_it_wrote() {
        let value = Old {
            inner: Inner { a: 7 },
        };
        let bytes = encode(&value).unwrap();
        assert_eq!(decode::<Old>(&bytes).unwrap(), value);
    }

    #[test]
    fn refuses_an_unknown_field_at_depth_and_names_it() {
        let bytes = encode(&New {
            inner: NewInner { a: 1, b: 2 },
        })
        .unwrap();
        let error = decode::<Old>(&bytes).unwrap_err().to_string();
        assert!(error.contains("inner.b"), "{error}");
    }

    #[test]
    fn maps_with_keys_of_any_kind_are_read_back() {
        #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        enum Kind {
            Unit,
            Number(u8),
            Named { text: String },
        }
        #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        struct Key {
            kind: Kind,
            part: Option<(u8, char)>,
        }
        fn holds<K, const N: usize>(keys: [K; N])
        where
            K: Serialize + DeserializeOwned + Ord + std::fmt::Debug,
        {
            let map: BTreeMap<K, u32> = keys.into_iter().zip(1..).collect();
            let bytes = encode(&map).unwrap();
            assert_eq!(decode::<BTreeMap<K, u32>>(&bytes).unwrap(), map);
        }
        holds([(1u64, 2u32), (1, 3)]);
        holds([vec![1u8], vec![]]);
        holds([[1u8; 4], [2; 4]]);
        holds([Some(1u8), None]);
        holds([true, false]);
        holds(["a".to_owned(), "b".to_owned()]);
        holds([-5i64, i64::MIN]);
        holds([
            Kind::Unit,
            Kind::Number(1),
            Kind::Named { text: "a".into() },
        ]);
        let key = |part| Key {
            kind: Kind::Unit,
            part,
        };
        holds([key(None), key(Some((1, 'a')))]);
    }

    #[test]
    fn an_unknown_field_is_refused_wherever_it_is() {
        fn path<T: DeserializeOwned + std::fmt::Debug>(value: &impl Serialize) -> String {
            match decode::<T>(&encode(value).unwrap()) {
                Err(DecodeError::UnknownField { path, .. }) => path,
                other => panic!("{other:?}"),
            }
        }
        #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        enum Enum<T> {
            Struct { inner: T },
            Tuple(u8, T),
            New(T),
        }
        #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        struct One {
            a: u8,
        }
        #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        struct Two {
            a: u8,
            b: u8,
        }
        const TWO: Two = Two { a: 1, b: 2 };
        assert_eq!(path::<One>(&TWO), "b");
        assert_eq!(path::<Vec<One>>(&[TWO, TWO]), "0.b");
        assert_eq!(path::<(u8, Option<One>)>(&(1, Some(TWO))), "1.b");
        assert_eq!(path::<BTreeMap<u8, One>>(&BTreeMap::from([(1, TWO)])), ".b");
        assert_eq!(
            path::<BTreeMap<One, u8>>(&BTreeMap::from([(TWO, 1)])),
            "(key).b"
        );
        assert_eq!(path::<Enum<One>>(&Enum::Struct { inner: TWO }), "inner.b");
        assert_eq!(path::<Enum<One>>(&Enum::Tuple(1, TWO)), "1.b");
        assert_eq!(path::<Enum<One>>(&Enum::New(TWO)), "b");
    }

    #[test]
    fn refuses_trailing_bytes() {
        let mut bytes = encode(&7u8).unwrap();
        bytes.push(0);
        assert!(matches!(
            decode::<u8>(&bytes),
            Err(DecodeError::Trailing { count: 1, .. })
        ));
    }

    #[test]
    fn refuses_nesting_deeper_than_the_limit() {
        let mut bytes = vec![0x91; 10_000];
        bytes.push(0xc0);
        #[derive(Debug, Deserialize)]
        struct Nested(#[allow(dead_code)] Vec<Nested>);
        assert!(decode::<Nested>(&bytes).is_err());
    }

    #[test]
    fn a_length_that_lies_does_not_allocate() {
        // A string that claims 4 GiB and has three bytes.
        assert!(decode::<String>(&[0xdb, 0xff, 0xff, 0xff, 0xff, b'a', b'b', b'c']).is_err());
    }
}
