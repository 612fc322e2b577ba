//! A library whose author is strict: no lint may blame the user for what the macro wrote.
#![deny(
    warnings,
    missing_docs,
    missing_debug_implementations,
    private_interfaces,
    private_bounds,
    non_local_definitions,
    non_camel_case_types,
    single_use_lifetimes,
    unreachable_pub,
    unused_qualifications,
    unused_results,
    unused_lifetimes,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    clippy::missing_docs_in_private_items,
    clippy::missing_inline_in_public_items,
    clippy::use_self
)]
#![allow(
    clippy::missing_inline_in_public_items,
    reason = "hits the user's own methods too"
)]
#![forbid(unsafe_code)]

use braft::{Context, raft_service};
use serde::{Deserialize, Serialize};

/// Everybody's.
#[raft_service]
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Open {
    /// Nobody's.
    value: Hidden,
}

/// Not for the outside.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
struct Hidden(u64);

#[raft_service]
impl Open {
    /// Adds.
    pub fn add(&mut self, by: u64) -> u64 {
        let before = self.reset(Hidden(self.value.0 + by));
        before.0.max(self.value.0)
    }

    /// Sets.
    const fn reset(&mut self, to: Hidden) -> Hidden {
        std::mem::replace(&mut self.value, to)
    }

    /// Looks.
    ///
    /// # Errors
    /// If the names are equal.
    pub fn look(&self, context: &Context, a: &str, b: &str) -> Result<u64, String> {
        let time = context.log_position().index;
        if a == b { Err(a.to_owned()) } else { Ok(time) }
    }

    /// A crate's.
    #[must_use]
    pub(crate) const fn twice(&self) -> u64 {
        self.value.0 * 2
    }
}

/// Uses what else nobody uses.
#[must_use]
pub fn twice() -> u64 {
    Open::default().twice()
}
