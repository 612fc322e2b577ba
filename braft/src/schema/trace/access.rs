//! The parts of lists, maps, structs and enums, one tracer for each.

use serde::Deserializer;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::{Refused, Tracer};

/// So many elements of a list, a tuple or a map.
pub(super) struct Elements<'t> {
    pub(super) tracer: Tracer<'t>,
    pub(super) at: usize,
    pub(super) left: usize,
    /// The tree has so many parts; all further elements are like the last.
    pub(super) parts: usize,
}

impl Elements<'_> {
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
        if !self.take() {
            return Ok(None);
        }
        let at = self.at.min(self.parts.saturating_sub(1));
        self.at += 1;
        seed.deserialize(self.tracer.part(at)).map(Some)
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
        more.then(|| seed.deserialize(self.tracer.part(0)))
            .transpose()
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        seed.deserialize(self.tracer.part(1))
    }
}

/// All fields of a struct.
pub(super) struct Fields<'t> {
    pub(super) tracer: Tracer<'t>,
    pub(super) fields: &'static [&'static str],
    pub(super) at: usize,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Refused;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Refused> {
        let Some(field) = self.fields.get(self.at) else {
            return Ok(None);
        };
        let field: StrDeserializer<'_, Refused> = (*field).into_deserializer();
        seed.deserialize(field).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        self.at += 1;
        seed.deserialize(self.tracer.part(self.at - 1))
    }
}

/// One variant of an enum.
pub(super) struct Chosen<'t> {
    pub(super) tracer: Tracer<'t>,
    pub(super) variant: &'static str,
    pub(super) at: usize,
}

impl<'de, 't> EnumAccess<'de> for Chosen<'t> {
    type Error = Refused;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Refused> {
        let name: StrDeserializer<'_, Refused> = self.variant.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Chosen<'_> {
    type Error = Refused;

    fn unit_variant(mut self) -> Result<(), Refused> {
        self.tracer.part(self.at).note("unit", []);
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(
        mut self,
        seed: S,
    ) -> Result<S::Value, Refused> {
        seed.deserialize(self.tracer.part(self.at))
    }

    fn tuple_variant<V: Visitor<'de>>(
        mut self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.tracer.part(self.at).deserialize_tuple(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        mut self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let mut part = self.tracer.part(self.at);
        part.note("struct", fields.iter().copied());
        visitor.visit_map(Fields {
            tracer: part,
            fields,
            at: 0,
        })
    }
}
