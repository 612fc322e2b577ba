//! Tests of braft, one folder per concern; here what several of them use.

mod counter;
mod ledger;
pub mod netns;

pub use counter::{Counter, CounterClient, Overflow};
pub use ledger::{Ledger, LedgerClient};
