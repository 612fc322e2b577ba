//! The leader's task: assigns the work to the members there are.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::http;
use super::lists::WorkLists;
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::leadership::LeaderToken;
use crate::member::display_id;
use crate::node::Node;

/// How often the leader looks whether the members have changed.
const LOOK_EVERY: Duration = Duration::from_millis(200);

impl Config {
    /// Distributes lists of work items over the members: see [`distribute`](crate::distribute).
    ///
    /// All nodes of a cluster have to: the lists are a service of theirs.
    pub fn distribute(mut self) -> Self {
        if std::mem::replace(&mut self.distributes, true) {
            return self;
        }
        self.service::<WorkLists>()
            .leader_task(keep)
            .http_routes(http::routes)
    }
}

/// Runs on the leader, while it leads.
async fn keep(node: Node, token: LeaderToken) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = token.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match look(&node, &token).await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Fenced => return,
            Err(error) => tracing::warn!(%error, "the work is not assigned; it is tried again"),
        }
    }
}

async fn look(node: &Node, token: &LeaderToken) -> Result<(), Error> {
    // The state may be in use, by a snapshot for instance: the next look will do.
    let Some(members) = node.core().committed_members() else {
        return Ok(());
    };
    let lists = node.client::<WorkLists>();
    let members: Vec<_> = members.into_iter().map(display_id).collect();
    // This node has applied all that was acknowledged before its term.
    if members.is_empty() || lists.assigned_to().local().await? == members {
        return Ok(());
    }
    tracing::info!(?members, "the members have changed: work is assigned anew");
    let assigned = lists.assign_to(members).fenced(token).await?;
    assigned.map_err(|error| Error::rejected(error.to_string()))
}
