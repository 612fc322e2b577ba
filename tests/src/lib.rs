//! Tests of braft, one folder per concern; here the services that several of them use.

mod counter;
mod ledger;

pub use counter::{Counter, CounterClient, Overflow};
pub use ledger::{Ledger, LedgerClient};
