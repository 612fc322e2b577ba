//! The only place that names openraft.
//!
//! | file | what it holds |
//! |---|---|
//! | `types.rs` | the raft type configuration and plain counterparts |
//! | `encoding.rs` | log entries as bytes |
//! | `log_storage.rs`, `state_machine.rs` | openraft's view of our log and our state machine |
//! | `snapshot_writing.rs`, `snapshot_reading.rs` | the state written to a file, and read from one |
//! | `quarantine.rs` | a replica that serves nothing, and how it comes to serve again |
//! | `past.rs` | what a state is made of anew |
//! | `network/` | dialing peers, raft messages over gRPC |
//! | `proposer.rs`, `reader.rs` | commands in batches, reads that share a confirmation |
//! | `load.rs` | what is admitted and not yet answered |
//! | `drain.rs` | how long that is expected to take |
//! | `ticker.rs` | an entry when a timer is due and nobody proposes |
//! | `touch.rs` | whether a leader is in touch with a quorum |
//! | `runtime.rs`, `relay.rs` | what openraft runs on; its tasks one after the other for a lone command |
//! | `brief.rs` | turns at keeping a thread of the runtime busy |
//! | `lease.rs` | the tokens of a leader, and why no two are valid at one moment |
//! | `restart.rs` | what a voter may have promised before it was restarted |
//! | `clock.rs`, `timekeeper.rs` | log time; the wall clocks of the voters, which it follows |
//! | `responder.rs` | answers without a channel |
//! | `replaying.rs` | log and snapshot carried out without raft |
//! | `slot.rs` | where raft appears once the node is in a cluster |
//! | `handle.rs` | [`RaftNode`]: all of it, for the floors above |

mod brief;
mod clock;
mod drain;
mod encoding;
mod handle;
mod lease;
mod load;
mod log_storage;
pub(crate) mod network;
mod past;
mod proposer;
mod quarantine;
mod queries;
mod reader;
pub(crate) mod relay;
pub(crate) mod replaying;
mod responder;
mod restart;
mod runtime;
mod seeds;
mod slot;
mod snapshot_reading;
mod snapshot_writing;
mod state_machine;
#[cfg(test)]
mod suite;
mod ticker;
mod timekeeper;
mod touch;
mod types;

#[cfg(feature = "cli")]
pub(crate) use encoding::{Content, content, members_entry};
pub(crate) use handle::{Change, RaftNode, RaftOptions, RaftView, Role};
pub(crate) use proposer::{MAX_PENDING_ITEMS, Proposal, TOO_LATE};
pub(crate) use quarantine::parts as diverged_parts;
pub(crate) use reader::{Admitted, MAX_CONFIRMATIONS, MAX_READERS, MAX_WAITING_READS, Read};
pub(crate) use slot::RaftSlot;

pub(crate) type Raft = openraft::Raft<types::TypeConfig, state_machine::StateMachine>;
