//! The store under load.

use std::future::Future;

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Sees every write acknowledged before it began.
    Linearizable,
    /// The same, from the leader alone as long as its lease holds.
    Lease,
    /// Whatever the asked node has.
    Local,
}

/// A connection to a store; clones share it.
///
/// # Correctness
/// An answer must mean what the store's user takes it for: a write that is acknowledged was
/// committed, a linearizable read was confirmed. An error is one line of text.
pub trait Target: Clone + Send + Sync + 'static {
    /// Writes a value and waits until it is committed.
    fn put(&self, key: &str, value: &str) -> impl Future<Output = Result<(), String>> + Send;

    /// Reads a value; says how many bytes it has, if it is there.
    fn get(
        &self,
        key: &str,
        read: Read,
    ) -> impl Future<Output = Result<Option<usize>, String>> + Send;
}
