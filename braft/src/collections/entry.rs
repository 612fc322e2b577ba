//! The place of one key in a map.

use super::Map;

/// The place of a key in a [`Map`].
pub enum Entry<'a, K, V> {
    /// The key is there.
    Occupied(OccupiedEntry<'a, K, V>),
    /// It is not.
    Vacant(VacantEntry<'a, K, V>),
}

/// The place of a key that is there.
pub struct OccupiedEntry<'a, K, V> {
    pub(super) map: &'a mut Map<K, V>,
    pub(super) key: K,
}

/// The place of a key that is not there.
pub struct VacantEntry<'a, K, V> {
    pub(super) map: &'a mut Map<K, V>,
    pub(super) key: K,
}

const THERE: &str = "the key of an occupied entry is there";

impl<'a, K: Ord + Clone, V: Clone> Entry<'a, K, V> {
    /// The key.
    pub fn key(&self) -> &K {
        match self {
            Entry::Occupied(entry) => &entry.key,
            Entry::Vacant(entry) => &entry.key,
        }
    }

    /// The value; set to this one if there is none.
    pub fn or_insert(self, default: V) -> &'a mut V {
        self.or_insert_with(|| default)
    }

    /// The value; set to the function's result if there is none.
    pub fn or_insert_with(self, default: impl FnOnce() -> V) -> &'a mut V {
        match self {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(default()),
        }
    }

    /// The value; set to the default if there is none.
    pub fn or_default(self) -> &'a mut V
    where
        V: Default,
    {
        self.or_insert_with(V::default)
    }

    /// Changes the value if there is one.
    pub fn and_modify(mut self, change: impl FnOnce(&mut V)) -> Self {
        if let Entry::Occupied(entry) = &mut self {
            change(entry.get_mut());
        }
        self
    }
}

impl<'a, K: Ord + Clone, V: Clone> OccupiedEntry<'a, K, V> {
    /// The key.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// The value.
    pub fn get(&self) -> &V {
        self.map.get(&self.key).expect(THERE)
    }

    /// The value, to be changed.
    pub fn get_mut(&mut self) -> &mut V {
        self.map.get_mut_of(&self.key).expect(THERE)
    }

    /// The value, to be changed for as long as the map is borrowed.
    pub fn into_mut(self) -> &'a mut V {
        self.map.get_mut_of(&self.key).expect(THERE)
    }

    /// Sets the value and gives back the old one.
    pub fn insert(&mut self, value: V) -> V {
        std::mem::replace(self.get_mut(), value)
    }

    /// Removes the entry and gives back its value.
    pub fn remove(self) -> V {
        self.remove_entry().1
    }

    /// Removes the entry and gives it back.
    pub fn remove_entry(self) -> (K, V) {
        self.map.remove_entry(&self.key).expect(THERE)
    }
}

impl<'a, K: Ord + Clone, V: Clone> VacantEntry<'a, K, V> {
    /// The key.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// The key back.
    pub fn into_key(self) -> K {
        self.key
    }

    /// Sets the value.
    pub fn insert(self, value: V) -> &'a mut V {
        self.map.insert(self.key.clone(), value);
        self.map.get_mut_of(&self.key).expect(THERE)
    }
}
