//! Tests of braft, one folder per concern; here what several of them use.

mod counter;
mod journal;
mod ledger;
pub mod netns;

pub use counter::{Counter, CounterClient, Overflow};
pub use journal::{Journal, JournalClient, Note, PAUSE, stubborn};
pub use ledger::{Ledger, LedgerClient};
