//! Networks of namespaces on this machine: hosts, a bridge between them, and cuts in it.
//!
//! | file | what it holds |
//! |---|---|
//! | `tool.rs` | runs `ip` and `bridge`; whether namespaces can be made here |
//! | `host.rs` | [`Host`]: one namespace, programs and calls within it |
//! | `lan.rs` | [`Lan`]: hosts on one bridge, cut and healed |
//!
//! Needs Linux, the rights of root and iproute2. Nothing outside the namespaces is changed.

mod host;
mod lan;
mod tool;

pub use host::Host;
pub use lan::{Family, Lan};
pub use tool::why_not;
