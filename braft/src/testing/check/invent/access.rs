//! The parts of invented values: elements, fields, variants.

use std::any::type_name;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::refused::Refused;
use super::{Inventor, made};

/// So many elements of a list or a map.
pub(super) struct Elements<'r> {
    inventor: Inventor<'r>,
    left: usize,
}

impl<'r> Elements<'r> {
    pub(super) fn new(inventor: Inventor<'r>, left: usize) -> Self {
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
        more.then(|| self.inventor.part(seed)).transpose()
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
        more.then(|| self.inventor.part(seed)).transpose()
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        self.inventor.part(seed)
    }
}

/// All fields of a struct, or all arguments of a method.
pub(super) struct Fields<'r> {
    inventor: Inventor<'r>,
    method: Option<&'static str>,
    fields: std::slice::Iter<'static, &'static str>,
    /// The one whose value comes next.
    field: &'static str,
}

impl<'r> Fields<'r> {
    pub(super) fn new(
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
        let Some(method) = self.method else {
            return self.inventor.part(seed);
        };
        let (field, inventor) = (self.field, &mut self.inventor);
        let value = match made::of_argument(inventor.generators, method, field) {
            Some(generator) => made::part(generator, inventor.rng, seed),
            None => inventor.part(seed),
        };
        value.map_err(|refused| refused.in_argument(method, field, type_name::<S::Value>()))
    }
}

/// One variant of an enum.
pub(super) struct Chosen<'r> {
    pub(super) inventor: Inventor<'r>,
    pub(super) variant: &'static str,
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
pub(super) struct Content<'r> {
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
        self.inventor.part(seed)
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
        let method = self.inventor.is_call.then_some(self.variant);
        visitor.visit_map(Fields::new(self.inventor, method, fields))
    }
}
