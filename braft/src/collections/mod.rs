//! Ordered maps and sets for the state of a service: cloned in no time, so that a snapshot is
//! written while commands go on.
//!
//! | module | does |
//! |---|---|
//! | `map`, `entry`, `set` | the names of the standard library's `BTreeMap` and `BTreeSet` |
//! | `node` | the tree: shared by clones, copied where one of them is changed |
//! | `iter`, `iter_mut` | passes over it |
//! | `digest` | a hash of the content that costs what has changed since the last one |
//! | `encoding` | serde, in the form of `BTreeMap` and `BTreeSet` |
//! | `freeze` | what is cheap to clone |

pub(crate) mod digest;
mod encoding;
mod entry;
pub(crate) mod freeze;
mod iter;
mod iter_mut;
mod map;
mod node;
mod set;
#[cfg(test)]
mod tests;

pub use entry::{Entry, OccupiedEntry, VacantEntry};
pub use freeze::Freeze;
pub use iter::{Iter, Keys, Values};
pub use iter_mut::{IntoIter, IterMut};
pub use map::Map;
pub use set::{IntoSetIter, Set, SetIter};
