//! What a node counts of its own work, for whoever watches it.
//!
//! Counted is by atomics alone: no lock, no allocation, and no look at a label on a call's way. A node
//! has its own figures, so several of them in one process do not mix, and the program's own recorder
//! is left alone. All else on the page is read where it is kept anyway, when somebody asks.
//!
//! | file | what it holds |
//! |---|---|
//! | `histogram.rs` | durations, counted by their length |
//! | `calls.rs` | calls by method: how many, with which outcome, how long |
//! | `peers.rs` | what was said to each peer |
//! | `raft.rs` | entries on their way, and what was applied |
//! | `figures.rs` | what a node tells others of it |
//! | `text.rs` | the text format of Prometheus |
//! | `catalogue.rs` | every metric, with unit and meaning |

mod calls;
pub(crate) mod catalogue;
mod figures;
mod histogram;
mod peers;
mod raft;
mod text;

pub(crate) use calls::{CallsFigures, Meter};
pub(crate) use figures::{Decided, Figures, Leadership};
pub(crate) use histogram::{Counts, Histogram};
pub(crate) use peers::{PeerFigures, PeersFigures, Traffic};
pub(crate) use raft::RaftFigures;
pub(crate) use text::Page;
