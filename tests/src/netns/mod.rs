//! Networks of namespaces on this machine: hosts, a bridge between them, and cuts in it.
//!
//! | file | what it holds |
//! |---|---|
//! | `tool.rs` | runs `ip` and `bridge`; whether namespaces can be made here |
//! | `host.rs` | [`Host`]: one namespace, programs and calls within it |
//! | `lan.rs` | [`Lan`]: hosts on one bridge, cut and healed |
//! | `switched.rs` | [`Switched`]: hosts on a switch in user space, which loses and delays as well |
//! | `switch.rs`, `frame.rs` | that switch, and the frames it passes on |
//!
//! Needs Linux, the rights of root and iproute2. Nothing outside the namespaces is changed.

mod frame;
mod host;
mod lan;
mod switch;
mod switched;
mod tool;

pub use host::Host;
pub use lan::{Family, Lan};
pub use switch::Path;
pub use switched::Switched;
pub use tool::why_not;
