//! How pristine nodes become one cluster, and never two.
//!
//! | file | what it holds |
//! |---|---|
//! | `machine.rs` | [`Formation`], the state machine: what a message does |
//! | `progress.rs` | what the passing of time does: probe, propose, take over, join |
//! | `status.rs` | what a node is waiting for, in words |
//! | `view.rs` | whom a node has heard of, and which set it would choose |
//! | `proposal.rs` | [`Proposal`], [`PromiseRecord`] and the cluster id |
//! | `message.rs`, `event.rs` | what nodes tell each other; what the driver feeds and does |
//! | `driver.rs` | runs it on tokio, behind [`Ports`] to disk, network and raft |
//!
//! # The rules
//! 1. A node that has a cluster id on disk starts with it. It answers, and never forms again.
//! 2. A node that is bound by no promise and hears of a member joins that cluster.
//! 3. Otherwise it *chooses*: of the pristine nodes it has heard of lately, itself included, that
//!    expect the same number n, the n lowest ids. It says so in each message. When all of its
//!    choice make the same choice, the lowest id *proposes* the set under a new attempt number,
//!    higher than any that a node of the set has on record.
//! 4. A node *promises* one proposal at a time, and none whose attempt is not above its *floor*;
//!    promise and floor (raised to the attempt) are synced before the answer goes out. What it does
//!    not promise it *refuses* for good: it raises its floor to the attempt, synced, before it
//!    answers. There is no third answer, so no proposal is left hanging between nodes that are up.
//! 5. Whoever holds a promise asks every other member of the set until the proposal is *complete*
//!    (each member has promised, or some node says it belongs to the cluster of that id), or *dead*
//!    (a member has refused, or belongs to another cluster). When dead, the promise is released,
//!    synced, and the others are told. There is no other way out of a promise: no timeout, and no
//!    cluster found elsewhere.
//! 6. A complete proposal is initialized by the lowest id; if it stays silent, by the next lowest,
//!    and so on. The cluster id is a hash of the members (id and address) and the attempt.
//!
//! # Why there are never two clusters from one set of nodes
//! *Claim: if two different proposals are initialized, their sets are disjoint.*
//!
//! - **No promise before a complete proposal is ever released.** Call a proposal *complete* when
//!   each member has promised it at some time, and suppose one of them released it. Take the first
//!   refusal of it by any member, in real time. A node refuses what it does not hold: because it
//!   never held it, or held and released it. The latter needs an earlier refusal, so the first
//!   refuser had never promised it; and with its floor raised on disk it never did later. So the
//!   proposal was never complete.
//! - **Evidence is sound.** `Promised` and `Promise` go out only after the sender's own promise is
//!   on disk. Both name the whole proposal, so duplicates, delays and reordering cannot move a
//!   promise from one proposal to another, and a promise that was true once for a complete proposal
//!   stays true. "I belong to the cluster of that id" follows from an initialization and so from
//!   completeness. A refusal passed on by a member is one of the first refuser's consequences.
//! - **So two complete proposals share no member**: it would hold two promises at once, and a
//!   record has room for one. And only complete proposals are initialized.
//! - **Joining does not get around it.** A bound node joins nothing and lets no other cluster's
//!   traffic in, and a node that belongs to a cluster promises nothing.
//!
//! Node ids are never reused, so a node whose disk was wiped is another node: it cannot be asked to
//! repeat, or to contradict, what the old one promised. If the old one had not answered yet, the
//! others of its set stay bound; they say whom they wait for and what to do. (It cannot be done
//! automatically: a lost disk looks like a slow network, behind which the missing node may hold
//! everybody's promise and initialize any moment.) Choosing in step (rule 3) makes this window as
//! short as one exchange of messages.
//!
//! # Why several nodes may initialize one proposal
//! Initializing writes one entry: the membership, at index 0 of term 0. Members and addresses are
//! part of the proposal, and a log id holds the term only (`leader_id_std`), so the entry is the
//! same on each node, byte for byte. That is the state in which Raft's proof lets every server
//! start: a log that holds the initial configuration, no vote cast. A member that is not
//! initialized yet is merely one whose log is shorter. It does not matter when a node initializes,
//! not even years later: it then is a member that was partitioned away from the start. Its log
//! is behind every majority's, so it wins no election; if it was removed meanwhile, the leader
//! tells it so.
//!
//! # What it assumes
//! The record is as durable as the node id and lost only together with it. Two nodes on copies of
//! one data directory are told apart by the handshake's incarnation; a node that hears its own id
//! from another address proposes and promises nothing meanwhile.

mod driver;
mod event;
mod machine;
mod message;
mod progress;
mod proposal;
mod status;
mod view;

#[cfg(test)]
mod harness;
#[cfg(test)]
mod schedules;
#[cfg(test)]
mod simulation;

pub(crate) use driver::{Inbound, Ports, run};
pub(crate) use event::{Action, Event, Timing};
pub(crate) use machine::{Formation, Identity, Start};
pub(crate) use message::{Body, Hello, MAX_GOSSIP, Message, Refusal};
pub(crate) use proposal::{MemberSet, PromiseRecord, Proposal};
