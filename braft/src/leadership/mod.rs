//! What a program learns about who leads.
//!
//! | file | what it holds |
//! |---|---|
//! | `token.rs` | the right to do what only the leader does |
//! | `change.rs` | who leads now |

mod change;
mod token;

pub use change::{Leader, LeaderChange};
pub use token::LeaderToken;
