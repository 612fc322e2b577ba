//! Which change of members comes next, and why: a pure function of what the leader knows.
//!
//! | file | what it holds |
//! |---|---|
//! | `view.rs` | [`View`]: what the leader knows |
//! | `plan.rs` | [`plan()`]: the one change to make now, and a reason for each that is not made |
//!
//! # Invariants
//! - One change per round; the next round starts from what that change led to.
//! - The leader never removes itself, and never goes below `min_voters` by removing.
//! - Nothing is removed while more than `(voters - 1) / 2` voters are failed: then the fault is
//!   more likely on the leader's side of the network.
//! - Discovery never removes anybody. That it still shows a node can only spare it.
//! - Each decision and each refusal carries a reason for the status.

mod plan;
mod view;

#[cfg(test)]
mod properties;

pub(crate) use plan::{Change, Decision, Plan, plan};
#[cfg(test)]
pub(crate) use view::Removal;
pub(crate) use view::{Candidate, Limits, MAX_LAG, MAX_MEMBERS, Member, Role, UNKNOWN_LAG, View};
