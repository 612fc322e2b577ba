//! Where an attempt goes first: to a node far away, or to the node of this process.

use std::sync::{Arc, Mutex, PoisonError};

use super::follow;
use super::pool::Pool;
use crate::error::{ErrorKind, Outcome};
use crate::event::{EventSource, Since};
use crate::request::{Gateway, Incoming, Refusal};

/// The most addresses a client keeps, those learned from nodes included.
const MAX_ADDRESSES: usize = 64;

/// Tells which of a hop's successive choices an attempt was sent by.
pub(super) type Choice = u64;

/// Takes attempts of calls towards the leader.
pub(super) trait Hop: Send + Sync + 'static {
    /// Sends one attempt; its answer comes through its reply.
    fn submit(&self, call: Incoming) -> Choice;
    /// Learns from a refusal where to send the next attempt. True if it now goes where the refusing
    /// node said the leader is, so that it need not wait.
    fn learn(&self, choice: Choice, refusal: &Refusal) -> bool;
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
        0
    }

    fn learn(&self, _: Choice, _: &Refusal) -> bool {
        false
    }

    fn nodes(&self) -> usize {
        1
    }

    fn events(&self, _: usize, service: &'static str, since: Since) -> EventSource {
        self.0.events(service, since)
    }
}

/// Nodes reached over the network: the last known leader, or one after the other.
pub(super) struct Remote {
    pool: Pool,
    route: Mutex<Route>,
}

struct Route {
    addresses: Vec<Arc<str>>,
    /// The address in use.
    target: Arc<str>,
    /// Counts changes of target: of many calls refused together only the first changes it.
    choice: Choice,
    /// Where in `addresses` to go on when nobody knows the leader.
    turn: usize,
}

impl Remote {
    /// Starts at `first`, which must be one of the addresses.
    pub(super) fn new(pool: Pool, addresses: Vec<Arc<str>>, first: usize) -> Self {
        Remote {
            pool,
            route: Mutex::new(Route {
                target: Arc::clone(&addresses[first]),
                addresses,
                choice: 0,
                turn: first,
            }),
        }
    }
}

impl Hop for Remote {
    fn submit(&self, call: Incoming) -> Choice {
        let route = self.route.lock().unwrap_or_else(PoisonError::into_inner);
        let (target, choice) = (Arc::clone(&route.target), route.choice);
        drop(route);
        self.pool.submit(&target, call);
        choice
    }

    fn learn(&self, choice: Choice, refusal: &Refusal) -> bool {
        let mut route = self.route.lock().unwrap_or_else(PoisonError::into_inner);
        if route.choice != choice {
            // Another call has learned it already.
            return refusal.leader.is_some();
        }
        match &refusal.leader {
            Some(leader) if **leader != *route.target => {
                route.follow(leader);
                let target = Arc::clone(&route.target);
                drop(route);
                self.pool.warm(&target);
                true
            }
            Some(_) => false,
            None => {
                let elsewhere = matches!(refusal.kind, ErrorKind::Unavailable | ErrorKind::Fatal)
                    || refusal.outcome == Outcome::Unknown;
                if elsewhere {
                    route.next();
                }
                false
            }
        }
    }

    fn nodes(&self) -> usize {
        let route = self.route.lock().unwrap_or_else(PoisonError::into_inner);
        route.addresses.len()
    }

    fn events(&self, attempt: usize, service: &'static str, since: Since) -> EventSource {
        let route = self.route.lock().unwrap_or_else(PoisonError::into_inner);
        let node = (route.turn + attempt) % route.addresses.len();
        let address = Arc::clone(&route.addresses[node]);
        drop(route);
        let (pin, dialer) = self.pool.way();
        follow::of_node(address, pin, dialer, service, since)
    }
}

impl Route {
    fn follow(&mut self, leader: &str) {
        let known = self.addresses.iter().find(|known| ***known == *leader);
        self.target = match known {
            Some(known) => Arc::clone(known),
            None => {
                let leader = Arc::<str>::from(leader);
                if self.addresses.len() < MAX_ADDRESSES {
                    self.addresses.push(Arc::clone(&leader));
                }
                leader
            }
        };
        self.choice += 1;
    }

    fn next(&mut self) {
        self.turn = (self.turn + 1) % self.addresses.len();
        if self.addresses[self.turn] == self.target {
            self.turn = (self.turn + 1) % self.addresses.len();
        }
        self.target = Arc::clone(&self.addresses[self.turn]);
        self.choice += 1;
    }
}
