//! The objects of the stand-in, in every version that is still kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::selector::Selector;

/// The kinds that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    EndpointSlice,
    Pod,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::EndpointSlice => "EndpointSlice",
            Self::Pod => "Pod",
        }
    }

    pub(crate) fn api_version(self) -> &'static str {
        match self {
            Self::EndpointSlice => "discovery.k8s.io/v1",
            Self::Pod => "v1",
        }
    }

    fn of(object: &Value) -> Self {
        match object["kind"].as_str() {
            Some("EndpointSlice") => Self::EndpointSlice,
            Some("Pod") => Self::Pod,
            other => panic!("the stand-in does not serve {other:?}"),
        }
    }
}

/// Kind, namespace, name.
type Key = (Kind, String, String);
/// Shared by the versions in which they are the same.
type State = BTreeMap<Key, Arc<Value>>;

/// What one request selects.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) kind: Kind,
    pub(crate) namespace: String,
    pub(crate) selector: Selector,
}

impl Scope {
    fn has(&self, key: &Key, object: &Value) -> bool {
        key.0 == self.kind && key.1 == self.namespace && self.selector.fits(object)
    }
}

/// The version that was asked for is no longer kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// Every version since the last compaction, as etcd keeps them.
pub(crate) struct Store {
    versions: BTreeMap<u64, State>,
}

impl Store {
    pub(crate) fn new() -> Self {
        // Like a cluster that has been up for a while.
        let versions = BTreeMap::from([(70_000, State::new())]);
        Self { versions }
    }

    pub(crate) fn version(&self) -> u64 {
        let (version, _) = self.last();
        version
    }

    fn last(&self) -> (u64, &State) {
        let last = self.versions.last_key_value();
        last.map(|(version, state)| (*version, state))
            .expect("the last version is always kept")
    }

    /// Creates or replaces objects, all in one version.
    pub(crate) fn put_all(&mut self, objects: impl IntoIterator<Item = Value>) {
        let (last, state) = self.last();
        let (version, mut state) = (last + 1, state.clone());
        for mut object in objects {
            object["metadata"]["resourceVersion"] = version.to_string().into();
            state.insert(key(&object), Arc::new(object));
        }
        self.versions.insert(version, state);
    }

    /// Creates or replaces an object.
    pub(crate) fn put(&mut self, object: Value) {
        self.put_all([object]);
    }

    /// Deletes an object by kind, namespace and name; it has to be there.
    pub(crate) fn delete(&mut self, object: &Value) {
        let (last, state) = self.last();
        let (version, mut state) = (last + 1, state.clone());
        let removed = state.remove(&key(object));
        assert!(removed.is_some(), "deleted what is not there: {object}");
        self.versions.insert(version, state);
    }

    /// Forgets every version but the last.
    pub(crate) fn compact(&mut self) {
        let version = self.version();
        self.versions = self.versions.split_off(&version);
    }

    /// The objects of a version, by name.
    pub(crate) fn list(&self, scope: &Scope, version: u64) -> Result<Vec<(&str, &Value)>, Gone> {
        let state = self.versions.get(&version).ok_or(Gone)?;
        let selected = state.iter().filter(|(key, object)| scope.has(key, object));
        Ok(selected
            .map(|((_, _, name), object)| (name.as_str(), &**object))
            .collect())
    }

    /// The watch events after a version.
    pub(crate) fn changes(&self, scope: &Scope, after: u64) -> Result<Vec<Value>, Gone> {
        let mut before = self.versions.get(&after).ok_or(Gone)?;
        let mut events = Vec::new();
        for (version, state) in self.versions.range(after + 1..) {
            let keys = before
                .keys()
                .chain(state.keys().filter(|key| !before.contains_key(key)));
            for key in keys {
                let (old, new) = (
                    before.get(key).map(|it| &**it),
                    state.get(key).map(|it| &**it),
                );
                if old != new {
                    let had = old.filter(|old| scope.has(key, old));
                    let has = new.filter(|new| scope.has(key, new));
                    events.extend(event(had, has, *version));
                }
            }
            before = state;
        }
        Ok(events)
    }
}

/// An object that no longer fits the selector is deleted for whoever watches with it.
fn event(had: Option<&Value>, has: Option<&Value>, version: u64) -> Option<Value> {
    match (had, has) {
        (None, Some(new)) => Some(json!({"type": "ADDED", "object": new})),
        (Some(_), Some(new)) => Some(json!({"type": "MODIFIED", "object": new})),
        (Some(old), None) => {
            let mut old = old.clone();
            old["metadata"]["resourceVersion"] = version.to_string().into();
            Some(json!({"type": "DELETED", "object": old}))
        }
        (None, None) => None,
    }
}

fn key(object: &Value) -> Key {
    let text = |field: &str| {
        let text = object["metadata"][field].as_str();
        text.expect("namespace and name").to_owned()
    };
    (Kind::of(object), text("namespace"), text("name"))
}
