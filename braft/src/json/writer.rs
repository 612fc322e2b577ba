//! Values as JSON text.

use std::fmt::Display;

use serde::ser::{
    self, Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct,
    SerializeStructVariant, SerializeTuple, SerializeTupleStruct, SerializeTupleVariant,
};
use serde_json::Error;

/// An answer as text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) json: Vec<u8>,
    /// Whether it is what stands in the `Err` of a `Result`.
    pub(crate) is_err: bool,
}

/// Writes an answer. Of a `Result` what is inside is written, and which side it was is said.
pub(super) fn write_answer<T: Serialize>(answer: &T) -> Result<Written, Error> {
    let mut out = Out {
        json: Vec::with_capacity(128),
        is_err: false,
    };
    answer.serialize(Writer {
        out: &mut out,
        is_whole: true,
    })?;
    let Out { json, is_err } = out;
    Ok(Written { json, is_err })
}

struct Out {
    json: Vec<u8>,
    is_err: bool,
}

impl Out {
    fn scalar<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        serde_json::to_writer(&mut self.json, value)
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(Writer {
            out: self,
            is_whole: false,
        })
    }

    fn byte(&mut self, byte: u8) {
        self.json.push(byte);
    }

    /// `"name":`
    fn name(&mut self, name: &str) -> Result<(), Error> {
        self.scalar(name)?;
        self.byte(b':');
        Ok(())
    }
}

struct Writer<'o> {
    out: &'o mut Out,
    /// Whether this is the answer itself, and not a part of it.
    is_whole: bool,
}

/// A list, a struct or the like that has begun.
struct Parts<'o> {
    out: &'o mut Out,
    is_empty: bool,
    close: &'static [u8],
}

impl<'o> Parts<'o> {
    fn begin(out: &'o mut Out, open: u8, close: &'static [u8]) -> Self {
        out.byte(open);
        Parts {
            out,
            is_empty: true,
            close,
        }
    }

    fn comma(&mut self) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.byte(b',');
        }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.comma();
        self.out.value(value)
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Error> {
        self.comma();
        self.out.name(name)?;
        self.out.value(value)
    }

    fn close(self) {
        self.out.json.extend_from_slice(self.close);
    }
}

/// The entries of a map, held until it is known whether all keys are texts.
struct Entries<'o> {
    out: &'o mut Out,
    entries: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Entries<'_> {
    fn apart<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
        let mut out = Out {
            json: Vec::new(),
            is_err: false,
        };
        out.value(value)?;
        Ok(out.json)
    }
}

macro_rules! scalars {
    ($($method:ident($type:ty)),* $(,)?) => {$(
        fn $method(self, value: $type) -> Result<(), Error> {
            self.out.scalar(&value)
        }
    )*};
}

impl<'o> ser::Serializer for Writer<'o> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Parts<'o>;
    type SerializeTuple = Parts<'o>;
    type SerializeTupleStruct = Parts<'o>;
    type SerializeTupleVariant = Parts<'o>;
    type SerializeMap = Entries<'o>;
    type SerializeStruct = Parts<'o>;
    type SerializeStructVariant = Parts<'o>;

    scalars!(
        serialize_bool(bool),
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_i128(i128),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
        serialize_u128(u128),
        serialize_f32(f32),
        serialize_f64(f64),
        serialize_char(char),
        serialize_str(&str),
        serialize_bytes(&[u8]),
    );

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        self.out.value(value)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.out.json.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Error> {
        self.out.scalar(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.out.value(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        if self.is_whole && name == "Result" && matches!(variant, "Ok" | "Err") {
            self.out.is_err = variant == "Err";
            return self.out.value(value);
        }
        let mut parts = Parts::begin(self.out, b'{', b"}");
        parts.field(variant, value)?;
        parts.close();
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'o>, Error> {
        Ok(Parts::begin(self.out, b'[', b"]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts<'o>, Error> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts<'o>, Error> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'o>, Error> {
        self.out.byte(b'{');
        self.out.name(variant)?;
        Ok(Parts::begin(self.out, b'[', b"]}"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries<'o>, Error> {
        Ok(Entries {
            out: self.out,
            entries: Vec::new(),
        })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts<'o>, Error> {
        Ok(Parts::begin(self.out, b'{', b"}"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'o>, Error> {
        self.out.byte(b'{');
        self.out.name(variant)?;
        Ok(Parts::begin(self.out, b'{', b"}}"))
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), Error> {
        self.out.scalar(&value.to_string())
    }
}

macro_rules! lists {
    ($($trait:ident $method:ident),* $(,)?) => {$(
        impl $trait for Parts<'_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.element(value)
            }

            fn end(self) -> Result<(), Error> {
                self.close();
                Ok(())
            }
        }
    )*};
}

lists!(
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field,
);

macro_rules! structs {
    ($($trait:ident),*) => {$(
        impl $trait for Parts<'_> {
            type Ok = ();
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Error> {
                self.field(name, value)
            }

            fn end(self) -> Result<(), Error> {
                self.close();
                Ok(())
            }
        }
    )*};
}

structs!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for Entries<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.entries.push((Self::apart(key)?, Vec::new()));
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let entry = self.entries.last_mut();
        entry
            .ok_or_else(|| Error::custom("a value without a key"))?
            .1 = Self::apart(value)?;
        Ok(())
    }

    fn end(self) -> Result<(), Error> {
        let Entries { out, entries } = self;
        // Numbers and booleans are read back from between quotes.
        let is_text = |key: &[u8]| matches!(key[0], b'"' | b'-' | b'0'..=b'9' | b't' | b'f');
        let is_object = entries.iter().all(|(key, _)| is_text(key));
        out.byte(if is_object { b'{' } else { b'[' });
        for (at, (key, value)) in entries.iter().enumerate() {
            if at > 0 {
                out.byte(b',');
            }
            let (open, between, close): (&[u8], &[u8], &[u8]) = match (is_object, key[0]) {
                (true, b'"') => (b"", b":", b""),
                (true, _) => (b"\"", b"\":", b""),
                (false, _) => (b"[", b",", b"]"),
            };
            for part in [open, key, between, value, close] {
                out.json.extend_from_slice(part);
            }
        }
        out.byte(if is_object { b'}' } else { b']' });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;

    use super::*;

    fn text<T: Serialize>(value: &T) -> String {
        String::from_utf8(write_answer(value).unwrap().json).unwrap()
    }

    #[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
    enum Kind {
        Unit,
        Number(u8),
        Pair(u8, bool),
        Named { text: String },
    }

    #[test]
    fn it_writes_what_serde_json_writes() {
        #[derive(Serialize)]
        struct All {
            kinds: Vec<Kind>,
            big: u64,
            huge: u128,
            text: &'static str,
            nothing: Option<u8>,
            some: Option<char>,
            unit: (),
            by_number: BTreeMap<i64, [f32; 2]>,
            by_flag: BTreeMap<bool, ()>,
            by_kind: BTreeMap<Kind, u8>,
            empty: BTreeMap<String, u8>,
        }
        let all = All {
            kinds: vec![
                Kind::Unit,
                Kind::Number(1),
                Kind::Pair(2, true),
                Kind::Named {
                    text: "\"\u{1}é".to_owned(),
                },
            ],
            big: u64::MAX,
            huge: u128::MAX,
            text: "/",
            nothing: None,
            some: Some('x'),
            unit: (),
            by_number: [(-5, [0.1, f32::NAN])].into(),
            by_flag: [(true, ()), (false, ())].into(),
            by_kind: [(Kind::Unit, 1)].into(),
            empty: BTreeMap::new(),
        };
        assert_eq!(text(&all), serde_json::to_string(&all).unwrap());
        assert_eq!(text(&b"bytes".as_slice()), "[98,121,116,101,115]");
    }

    #[test]
    fn a_map_with_other_keys_is_a_list_of_pairs() {
        let pairs = BTreeMap::from([((1, "a"), 1.5), ((2, "b"), 2.0)]);
        assert_eq!(text(&pairs), r#"[[[1,"a"],1.5],[[2,"b"],2.0]]"#);
        let mixed = BTreeMap::from([(Kind::Unit, 1), (Kind::Number(2), 3)]);
        assert_eq!(text(&mixed), r#"[["Unit",1],[{"Number":2},3]]"#);
    }

    #[test]
    fn of_a_result_what_is_inside_is_written_and_only_of_the_whole() {
        let ok = write_answer(&Ok::<_, ()>(7)).unwrap();
        assert_eq!((ok.json.as_slice(), ok.is_err), (b"7".as_slice(), false));
        let err = write_answer(&Err::<(), _>("no")).unwrap();
        assert_eq!(
            (err.json.as_slice(), err.is_err),
            (b"\"no\"".as_slice(), true)
        );
        assert_eq!(text(&[Ok::<_, ()>(7)]), r#"[{"Ok":7}]"#);
    }
}
