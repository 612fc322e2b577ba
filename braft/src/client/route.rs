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
    /// The newest term in which a leader had been heard of; 0 before.
    heard: u64,
}

impl Choice {
    /// The only one there is.
    pub(super) const ONLY: Choice = Choice {
        aim: Aim::Any,
        number: 0,
        heard: 0,
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
    /// The term of the leader that was last heard of; 0 before.
    heard: u64,
    /// Of what was said of leaders, how much was taken note of.
    news: u64,
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
            news: 0,
            heir: None,
        }
    }

    /// Where a call goes, by what is known now.
    pub(super) fn target(&mut self, aim: Aim, pool: &Pool) -> (Arc<str>, Choice) {
        if aim == Aim::Leader {
            self.heed(pool.rumour());
            self.succeed(pool);
        }
        let heard = self.heard;
        let target = self.of(aim);
        let choice = Choice {
            aim,
            number: target.number,
            heard,
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

    /// Whether the node that has the call was the leader's, and another one leads by now, to which such
    /// calls go.
    pub(super) fn is_succeeded(&self, choice: Choice) -> bool {
        let is_older = choice.heard > 0 && choice.heard < self.heard;
        choice.aim == Aim::Leader && is_older && self.is_past(choice)
    }

    /// Goes where a node that refused a call says the leader is. False if calls went there, or go there
    /// once the way stands.
    pub(super) fn follow(&mut self, aim: Aim, leader: &str, pool: &Pool) -> bool {
        if *self.of(aim).address == *leader {
            return false;
        }
        let tells = aim == Aim::Leader && self.heard > 0;
        if tells && !matches!(pool.state(leader), Some(LinkState::Open)) {
            // The others pass calls on meanwhile.
            self.heir.get_or_insert_with(|| Heir::new(leader.into()));
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
        let news = rumour.news();
        if news == self.news {
            return;
        }
        self.news = news;
        let Some(heard) = rumour.heard() else {
            return;
        };
        self.heard = heard.term;
        let is_there = heard.address == self.leader.address;
        self.heir = (!is_there).then(|| Heir::new(heard.address));
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
                // What was only heard of is not kept; what was reached is.
                let address = Arc::clone(&heir.address);
                let address = self.known(&address);
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

#[cfg(test)]
mod tests {
    use super::super::link::ClusterPin;
    use super::*;
    use crate::net::Dialer;

    #[tokio::test]
    async fn a_leader_that_was_only_heard_of_is_no_node_to_be_tried() {
        let pool = Pool::new(ClusterPin::default(), Dialer::default());
        let mut route = Route::new(vec!["a:1".into()], 0);
        for (term, address) in [(5, "dead:1"), (6, "dead:2")] {
            pool.rumour().hear(term, address);
            let (target, _) = route.target(Aim::Leader, &pool);
            assert_eq!(&*target, "a:1");
        }
        assert_eq!(route.len(), 1);
        route.next(Aim::Leader);
        assert_eq!(&*route.target(Aim::Leader, &pool).0, "a:1");
    }

    #[test]
    fn only_a_call_for_an_earlier_leader_is_succeeded() {
        let mut route = Route::new(vec!["a:1".into(), "b:1".into()], 0);
        let choice = |route: &mut Route, aim| Choice {
            aim,
            number: route.of(aim).number,
            heard: route.heard,
        };
        let (before, any) = (
            choice(&mut route, Aim::Leader),
            choice(&mut route, Aim::Any),
        );
        route.heard = 5;
        let of_five = choice(&mut route, Aim::Leader);
        route.next(Aim::Leader);
        route.next(Aim::Any);
        assert!(route.is_past(of_five) && !route.is_succeeded(of_five));
        route.heard = 6;
        assert!(route.is_succeeded(of_five));
        assert!(!route.is_succeeded(before) && !route.is_succeeded(any));
        let of_six = choice(&mut route, Aim::Leader);
        route.heard = 7;
        assert!(!route.is_succeeded(of_six), "calls still go there");
    }
}
