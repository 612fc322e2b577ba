//! What a service looks like from outside: to clients, to the log, to snapshots.
//!
//! | file | what it holds |
//! |---|---|
//! | `describe.rs` | what generated code says of its service |
//! | `own.rs` | what a type says of itself, as JSON Schema |
//! | `trace.rs` | the shape of a type, from its `Deserialize` |
//! | `node.rs` | the tree it is kept in, as text and back |
//! | `compare.rs` | which changes older and newer nodes get along with |

#[cfg(any(test, feature = "testing"))]
mod compare;
mod describe;
mod node;
mod own;
mod trace;

use std::fmt;

#[cfg(any(test, feature = "testing"))]
pub(crate) use self::compare::{changes, keep_retired};
use self::describe::Description;
pub use self::describe::{Describe, Traced, Untraced};
#[cfg(feature = "http")]
pub(crate) use self::node::Node;
#[cfg(not(feature = "http"))]
use self::node::Node;
pub use self::node::ParseSchemaError;
use self::node::parse;
#[cfg(feature = "http")]
pub(crate) use self::own::{Maker, OwnSchema, Part, Way};
pub use self::own::{NotOwn, Own};
#[cfg(feature = "http")]
pub(crate) use self::trace::text_shape;
use crate::service::Service;

/// The schema of a service: name, version, operations with their arguments and answers, and the
/// state, types spelled out to the last field.
///
/// Its text is stable: equal schemas have equal texts. It is what
/// `braft::testing::schema_lock` keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    pub(crate) service: String,
    pub(crate) version: u32,
    /// The last version of the state that this one is made of by a migration.
    pub(crate) migrates: Option<u32>,
    /// `state`, `command NAME`, `query NAME`, `retired NAME`.
    pub(crate) parts: Vec<Node>,
}

/// Describes a service.
///
/// ```
/// # use braft::raft_service;
/// # use serde::{Deserialize, Serialize};
/// #[raft_service]
/// #[derive(Default, Serialize, Deserialize)]
/// pub struct Counter { value: u64 }
///
/// #[raft_service]
/// impl Counter {
///     pub fn add(&mut self, by: u64) -> u64 { self.value += by; self.value }
/// }
///
/// let text = "service Counter\nversion 1\nstate: struct Counter\n  value: u64\n\
///             command add\n  by: u64\n  -> u64\n";
/// assert_eq!(braft::schema::<Counter>().to_string(), text);
/// ```
pub fn schema<S: Service>() -> Schema {
    let mut state = trace::shape::<S>();
    state.label = "state".to_owned();
    for (name, since) in S::FIELDS_SINCE {
        if let Some(field) = state.child_mut(name) {
            field.since = *since;
        }
    }
    let mut description = Description::default();
    S::__describe(&mut description);
    let mut parts = description.finish();
    parts.sort_by(|a, b| a.label.cmp(&b.label));
    parts.insert(0, state);
    Schema {
        service: S::NAME.to_owned(),
        version: S::VERSION,
        migrates: S::__migration().map(|migration| migration.from()),
        parts,
    }
}

impl Schema {
    /// Reads the text of a schema.
    ///
    /// # Errors
    /// If it is none, with the line.
    pub fn parse(text: &str) -> Result<Self, ParseSchemaError> {
        let (mut service, mut version, mut migrates) = (None, None, None);
        let mut parts = Vec::new();
        for node in parse(text)? {
            let (word, rest) = node.label.split_once(' ').unwrap_or((&node.label, ""));
            match word {
                "service" => service = Some(rest.to_owned()),
                "version" => version = rest.parse().ok(),
                "migrates" => migrates = rest.parse().ok(),
                _ => parts.push(node),
            }
        }
        let missing = |what| ParseSchemaError {
            line: 1,
            reason: format!("it does not say its {what}"),
        };
        Ok(Schema {
            service: service.ok_or_else(|| missing("service"))?,
            version: version.ok_or_else(|| missing("version"))?,
            migrates,
            parts,
        })
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "service {}", self.service)?;
        writeln!(f, "version {}", self.version)?;
        if let Some(migrates) = self.migrates {
            writeln!(f, "migrates {migrates}")?;
        }
        self.parts.iter().try_for_each(|part| part.write(f, 0))
    }
}

#[cfg(all(test, feature = "macros"))]
mod tests {
    use super::*;
    use crate::distribute::WorkLists;

    #[test]
    fn the_text_is_read_back_as_it_was() {
        let schema = schema::<WorkLists>();
        let text = schema.to_string();
        assert_eq!(Schema::parse(&text).expect("a schema"), schema);
        assert!(text.contains("command assign_to\n  members: list\n    each: string\n"));
        assert!(!text.contains("untraced"), "{text}");
    }

    #[test]
    fn text_that_is_no_schema_is_refused_with_its_line() {
        let error = Schema::parse("service A\nversion 1\n   odd: u8\n").unwrap_err();
        assert_eq!(error.line, 3);
        Schema::parse("version 1\n").expect_err("no service");
    }
}
