//! Tests of braft, one folder per concern; here the services that several of them use.

mod counter;
mod journal;
mod ledger;

pub use counter::{Counter, CounterClient, Overflow};
pub use journal::{Journal, JournalClient, Note, PAUSE, stubborn};
pub use ledger::{Ledger, LedgerClient};
