//! Secrets: what members show each other, and what callers show to members.
//!
//! | file | what it holds |
//! |---|---|
//! | `secret.rs` | a text that is never shown |
//! | `watched.rs` | a file of secrets that changes while it is used |
//! | `join.rs` | the join token, and how it is proven |
//! | `greeting.rs` | the proof, on a new connection |
//! | `role.rs` | what a caller may do |
//! | `tokens.rs` | the tokens of callers, as a node knows them |
//! | `shown.rs` | the token that a caller shows |
//! | `news.rs` | what is said in the log, once |

#[cfg(feature = "testing")]
pub(crate) mod fuzz;
mod greeting;
mod join;
mod news;
mod role;
mod secret;
mod shown;
mod tokens;
mod watched;

pub(crate) use self::greeting::{Proven, demand, show};
pub(crate) use self::join::{Binding, JoinToken};
pub(crate) use self::news::News;
pub(crate) use self::role::Role;
pub(crate) use self::secret::Secret;
pub(crate) use self::shown::{CALLER, HEADER, ShownToken, bearer, caller};
pub(crate) use self::tokens::{Grant, Tokens};
