//! The service: named maps of text.

use braft::collections::Map;
use braft::raft_service;
use serde::{Deserialize, Serialize};

/// Named maps, each from text to text. A map exists while it has a key.
#[raft_service]
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Kv {
    maps: Map<String, Map<String, String>>,
}

#[raft_service]
impl Kv {
    /// Writes a value and answers the one it replaces.
    pub(crate) fn set(&mut self, map: &str, key: &str, value: &str) -> Option<String> {
        let map = self.maps.entry(map.to_owned()).or_default();
        map.insert(key.to_owned(), value.to_owned())
    }

    /// Removes a key and answers the value it had.
    pub(crate) fn remove(&mut self, map: &str, key: &str) -> Option<String> {
        let entries = self.maps.get_mut(map)?;
        let removed = entries.remove(key);
        if entries.is_empty() {
            self.maps.remove(map);
        }
        removed
    }

    /// The value of a key.
    pub(crate) fn get(&self, map: &str, key: &str) -> Option<&str> {
        Some(self.maps.get(map)?.get(key)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_back_from_its_map_only() {
        let mut kv = Kv::default();
        assert_eq!(kv.set("a", "key", "1"), None);
        assert_eq!(kv.set("a", "key", "2"), Some("1".to_owned()));
        assert_eq!(kv.get("a", "key"), Some("2"));
        assert_eq!(kv.get("b", "key"), None);
    }

    #[test]
    fn a_map_without_keys_takes_no_room() {
        let mut kv = Kv::default();
        kv.set("a", "key", "1");
        assert_eq!(kv.remove("a", "other"), None);
        assert_eq!(kv.remove("a", "key"), Some("1".to_owned()));
        assert_eq!(kv.remove("a", "key"), None);
        assert!(kv.maps.is_empty());
    }
}
