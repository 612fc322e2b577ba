//! A map written as a list of pairs: for text, whose objects have text for keys alone.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Gives the pairs of a list as the entries of a map.
pub(super) struct Pairs<A>(pub(super) A);

impl<'de, A: SeqAccess<'de>> MapAccess<'de> for Pairs<A> {
    type Error = A::Error;

    // One element holds both. Maps ask for both at once; whoever asks for keys alone wants fields.
    fn next_entry_seed<K: DeserializeSeed<'de>, V: DeserializeSeed<'de>>(
        &mut self,
        key: K,
        value: V,
    ) -> Result<Option<(K::Value, V::Value)>, A::Error> {
        self.0.next_element_seed(Pair { key, value })
    }

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        _: K,
    ) -> Result<Option<K::Value>, A::Error> {
        Err(Error::custom("a list stands where an object is expected"))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, _: V) -> Result<V::Value, A::Error> {
        Err(Error::custom("a value without a key"))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

/// Reads one pair.
struct Pair<K, V> {
    key: K,
    value: V,
}

impl<'de, K: DeserializeSeed<'de>, V: DeserializeSeed<'de>> DeserializeSeed<'de> for Pair<K, V> {
    type Value = (K::Value, V::Value);

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_tuple(2, self)
    }
}

impl<'de, K: DeserializeSeed<'de>, V: DeserializeSeed<'de>> Visitor<'de> for Pair<K, V> {
    type Value = (K::Value, V::Value);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pair of key and value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Self::Value, A::Error> {
        let key = pair.next_element_seed(self.key)?;
        let key = key.ok_or_else(|| Error::invalid_length(0, &"a pair of key and value"))?;
        let value = pair.next_element_seed(self.value)?;
        let value = value.ok_or_else(|| Error::invalid_length(1, &"a pair of key and value"))?;
        Ok((key, value))
    }
}
