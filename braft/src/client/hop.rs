//! Where an attempt goes first: to a node far away, or to the node of this process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::follow;
use super::pool::Pool;
pub(super) use super::route::Choice;
use super::route::{Aim, Route};
use super::throttle::Reads;
use crate::error::{ErrorKind, Outcome};
use crate::event::{EventSource, Since};
use crate::request::{Gateway, Incoming, Refusal};

/// Takes attempts of calls towards the leader.
pub(super) trait Hop: Send + Sync + 'static {
    /// Sends one attempt; its answer comes through its reply.
    fn submit(&self, call: Incoming) -> Choice;
    /// Learns from a refusal where to send the next attempt. True if it now goes where the refusing
    /// node said the leader is, so that it need not wait.
    fn learn(&self, choice: Choice, refusal: &Refusal) -> bool;
    /// Whether another node leads by now than the one that an attempt was sent to, or through.
    fn is_succeeded(&self, choice: Choice) -> bool;
    /// How many nodes there are to try.
    fn nodes(&self) -> usize;
    /// The events of a service, from one node; from another one with each attempt.
    fn events(&self, attempt: usize, service: &'static str, since: Since) -> EventSource;
}

/// The node of this process, which finds the leader itself.
pub(super) struct Local(pub(super) Arc<dyn Gateway>);

impl Hop for Local {
    fn submit(&self, call: Incoming) -> Choice {
        self.0.submit(vec![call]);
        Choice::ONLY
    }

    fn learn(&self, _: Choice, _: &Refusal) -> bool {
        false
    }

    fn is_succeeded(&self, _: Choice) -> bool {
        false
    }

    fn nodes(&self) -> usize {
        1
    }

    fn events(&self, _: usize, service: &'static str, since: Since) -> EventSource {
        self.0.events(service, since)
    }
}

/// Nodes reached over the network.
pub(super) struct Remote {
    pool: Pool,
    route: Mutex<Route>,
}

impl Remote {
    /// Starts at `first`, which must be one of the addresses.
    pub(super) fn new(pool: Pool, addresses: Vec<Arc<str>>, first: usize) -> Self {
        Remote {
            pool,
            route: Mutex::new(Route::new(addresses, first)),
        }
    }

    fn route(&self) -> MutexGuard<'_, Route> {
        // No code that can panic runs between two changes that belong together.
        self.route.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hop for Remote {
    fn submit(&self, call: Incoming) -> Choice {
        let aim = match Reads::of(call.action) {
            Some(Reads::OfNode) => Aim::Any,
            Some(Reads::OfLeader) | None => Aim::Leader,
        };
        let (target, choice) = self.route().target(aim, &self.pool);
        self.pool.submit(&target, call);
        choice
    }

    fn learn(&self, choice: Choice, refusal: &Refusal) -> bool {
        let mut route = self.route();
        if route.is_past(choice) {
            // Another call has learned it already.
            return refusal.leader.is_some();
        }
        match &refusal.leader {
            Some(leader) => {
                let follows = route.follow(choice.aim, leader, &self.pool);
                drop(route);
                if follows {
                    self.pool.warm(leader);
                }
                follows
            }
            None => {
                let elsewhere = matches!(refusal.kind, ErrorKind::Unavailable | ErrorKind::Fatal)
                    || refusal.outcome == Outcome::Unknown;
                if elsewhere {
                    route.next(choice.aim);
                }
                false
            }
        }
    }

    fn is_succeeded(&self, choice: Choice) -> bool {
        let mut route = self.route();
        // What was heard lately counts.
        route.target(choice.aim, &self.pool);
        route.is_succeeded(choice)
    }

    fn nodes(&self) -> usize {
        self.route().len()
    }

    fn events(&self, attempt: usize, service: &'static str, since: Since) -> EventSource {
        let address = self.route().nth(attempt);
        let (pin, dialer) = self.pool.way();
        follow::of_node(address, pin, dialer, service, since)
    }
}
