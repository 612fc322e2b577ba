//! Tests of braft, one folder per concern; here what several of them use.

mod callers;
mod chance;
mod counter;
mod history;
mod journal;
mod ledger;
mod mill;
pub mod netns;

pub use callers::Recording;
pub use chance::Chance;
pub use counter::{Counter, CounterClient, Overflow};
pub use history::{History, Report};
pub use journal::{Journal, JournalClient, Note, PAUSE, stubborn};
pub use ledger::{Ledger, LedgerClient};
pub use mill::{Mill, MillClient};
