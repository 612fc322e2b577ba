//! Which nodes a client sends its calls to: one that leads, and one that answers whatever any node may.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::link::LinkState;
use super::pool::Pool;
use super::rumour::Rumour;
use crate::backoff::Backoff;

/// The most addresses a client keeps, those learned from nodes included.
const MAX_ADDRESSES: usize = 64;
/// Before a leader that could not be reached is tried again. Until then its calls are passed on.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What a call needs of the node that it is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// To lead, or to pass calls on to the one that does.
    Leader,
    /// Nothing: it answers from its own state.
    Any,
}

/// Tells which of the successive targets of an aim an attempt was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) aim: Aim,
    number: u64,
}

impl Choice {
    /// The only one there is.
    pub(super) const ONLY: Choice = Choice {
        aim: Aim::Any,
        number: 0,
    };
}

/// Where the calls of one aim go.
#[derive(Debug)]
struct Target {
    address: Arc<str>,
    /// Counts changes: of many calls refused together only the first changes it.
    number: u64,
}

impl Target {
    fn change(&mut self, address: Arc<str>) {
        self.address = address;
        self.number += 1;
    }
}

/// Nodes reached over the network.
///
/// Calls for the leader go to whichever node answered first, which passes them on, until a node has said
/// who leads and the way there stands: then they go there themselves.
#[derive(Debug)]
pub(super) struct Route {
    addresses: Vec<Arc<str>>,
    leader: Target,
    any: Target,
    /// Where in `addresses` to go on when nobody knows the leader.
    turn: usize,
    /// The term of the leader that was last heard of.
    heard: u64,
    /// Where that leader is, until calls go there.
    heir: Option<Heir>,
}

/// A leader whose calls are still passed on.
#[derive(Debug)]
struct Heir {
    address: Arc<str>,
    backoff: Backoff,
    /// It was out of reach, and is not tried before.
    not_before: Option<Instant>,
}

impl Route {
    /// Starts at `first`, which must be one of the addresses.
    pub(super) fn new(addresses: Vec<Arc<str>>, first: usize) -> Self {
        let target = || Target {
            address: Arc::clone(&addresses[first]),
            number: 0,
        };
        Route {
            leader: target(),
            any: target(),
            addresses,
            turn: first,
            heard: 0,
            heir: None,
        }
    }

    /// Where a call goes, by what is known now.
    pub(super) fn target(&mut self, aim: Aim, pool: &Pool) -> (Arc<str>, Choice) {
        if aim == Aim::Leader {
            self.heed(pool.rumour());
            self.succeed(pool);
        }
        let target = self.of(aim);
        let choice = Choice {
            aim,
            number: target.number,
        };
        (Arc::clone(&target.address), choice)
    }

    /// Whether calls of that aim go elsewhere by now.
    pub(super) fn is_past(&self, choice: Choice) -> bool {
        let target = match choice.aim {
            Aim::Leader => &self.leader,
            Aim::Any => &self.any,
        };
        target.number != choice.number
    }

    /// Goes where a node says the leader is. False if calls went there.
    pub(super) fn follow(&mut self, aim: Aim, leader: &str) -> bool {
        if *self.of(aim).address == *leader {
            return false;
        }
        let leader = self.known(leader);
        if aim == Aim::Leader {
            self.heir = None;
        }
        self.of(aim).change(leader);
        true
    }

    /// Goes to the next node.
    pub(super) fn next(&mut self, aim: Aim) {
        let left = Arc::clone(&self.of(aim).address);
        self.turn = (self.turn + 1) % self.addresses.len();
        if self.addresses[self.turn] == left {
            self.turn = (self.turn + 1) % self.addresses.len();
        }
        let next = Arc::clone(&self.addresses[self.turn]);
        self.of(aim).change(next);
        if aim == Aim::Leader && self.heir.is_none() && self.heard > 0 {
            // It led last, as far as is known: once it is reached again, calls go there.
            self.heir = Some(Heir::tried_later(left));
        }
    }

    /// The address of a node, from one attempt to the next another one.
    pub(super) fn nth(&self, attempt: usize) -> Arc<str> {
        let node = (self.turn + attempt) % self.addresses.len();
        Arc::clone(&self.addresses[node])
    }

    pub(super) fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Takes note of what nodes say of who leads.
    fn heed(&mut self, rumour: &Rumour) {
        let term = rumour.term();
        if term == self.heard {
            return;
        }
        self.heard = term;
        let Some(leader) = rumour.leader() else {
            return;
        };
        let leader = self.known(&leader);
        self.heir = (leader != self.leader.address).then(|| Heir::new(leader));
    }

    /// Sends calls to the leader that was heard of, once the way there stands.
    fn succeed(&mut self, pool: &Pool) {
        let Some(heir) = &mut self.heir else {
            return;
        };
        if heir.is_to_wait() {
            return;
        }
        match pool.state(&heir.address) {
            Some(LinkState::Open) => {
                let address = Arc::clone(&heir.address);
                self.heir = None;
                if address != self.leader.address {
                    self.leader.change(address);
                }
            }
            Some(LinkState::Opening) => {}
            Some(LinkState::Closed { .. }) => {
                heir.try_later();
                // What has ended gives way to a new one.
                pool.warm(&heir.address);
            }
            None => pool.warm(&heir.address),
        }
    }

    fn of(&mut self, aim: Aim) -> &mut Target {
        match aim {
            Aim::Leader => &mut self.leader,
            Aim::Any => &mut self.any,
        }
    }

    /// An address as it is kept; a new one is kept, if there is room.
    fn known(&mut self, address: &str) -> Arc<str> {
        if let Some(known) = self.addresses.iter().find(|known| ***known == *address) {
            return Arc::clone(known);
        }
        let address = Arc::<str>::from(address);
        if self.addresses.len() < MAX_ADDRESSES {
            self.addresses.push(Arc::clone(&address));
        }
        address
    }
}

impl Heir {
    fn new(address: Arc<str>) -> Self {
        Heir {
            address,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            not_before: None,
        }
    }

    fn tried_later(address: Arc<str>) -> Self {
        let mut heir = Heir::new(address);
        heir.try_later();
        heir
    }

    fn try_later(&mut self) {
        self.not_before = Some(Instant::now() + self.backoff.pause());
    }

    fn is_to_wait(&mut self) -> bool {
        let waits = self.not_before.is_some_and(|at| Instant::now() < at);
        if !waits {
            self.not_before = None;
        }
        waits
    }
}
