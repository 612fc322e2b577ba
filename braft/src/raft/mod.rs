//! The only place that names openraft.
#![allow(dead_code)]

mod clock;
mod encoding;
mod log_storage;
pub(crate) mod network;
mod proposer;
mod reader;
mod responder;
mod state_machine;
mod types;

pub(crate) type Raft = openraft::Raft<types::TypeConfig, state_machine::StateMachine>;
