//! Links by address, reopened with back-off.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::link::{ClusterPin, Link, LinkState};
use super::rumour::Rumour;
use crate::backoff::Backoff;
use crate::net::Dialer;
use crate::request::{Incoming, Refusal};

/// The most addresses remembered; the one unused for longest gives way.
const MAX_NODES: usize = 64;
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The links of one caller, at most one per node.
pub(crate) struct Pool {
    pin: ClusterPin,
    dialer: Dialer,
    /// What the nodes say of who leads.
    rumour: Arc<Rumour>,
    nodes: Mutex<HashMap<Arc<str>, Node>>,
}

struct Node {
    link: Option<Arc<Link>>,
    backoff: Backoff,
    /// No link is opened before.
    not_before: Instant,
    /// Why the last link ended.
    reason: Arc<str>,
    used: Instant,
}

impl Node {
    fn new(now: Instant) -> Self {
        Node {
            link: None,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            not_before: now,
            reason: "".into(),
            used: now,
        }
    }

    /// Lets go of a link that ended.
    fn settle(&mut self, now: Instant) {
        let Some(LinkState::Closed {
            was_open, reason, ..
        }) = self.link.as_ref().map(|l| l.state())
        else {
            return;
        };
        if was_open {
            self.backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        }
        self.link = None;
        self.reason = reason;
        self.not_before = now + self.backoff.pause();
    }
}

impl Pool {
    pub(crate) fn new(pin: ClusterPin, dialer: Dialer) -> Self {
        Pool {
            pin,
            dialer,
            rumour: Arc::default(),
            nodes: Mutex::default(),
        }
    }

    /// Sends calls to a node, over its open link or a new one.
    pub(crate) fn forward(&self, address: &str, calls: Vec<Incoming>) {
        match self.link(address) {
            Ok(link) => link.forward(calls),
            Err(reason) => {
                for call in calls {
                    call.reply.refuse(Refusal::not_here(&*reason, None));
                }
            }
        }
    }

    /// Sends one call to a node.
    pub(crate) fn submit(&self, address: &str, call: Incoming) {
        match self.link(address) {
            Ok(link) => link.submit(call),
            Err(reason) => call.reply.refuse(Refusal::not_here(&*reason, None)),
        }
    }

    /// The cluster of this caller, and its way to connect.
    pub(super) fn way(&self) -> (ClusterPin, Dialer) {
        (self.pin.clone(), self.dialer.clone())
    }

    /// What the nodes say of who leads.
    pub(super) fn rumour(&self) -> &Rumour {
        &self.rumour
    }

    /// How far the link to a node is, if there is one.
    pub(super) fn state(&self, address: &str) -> Option<LinkState> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let link = nodes.get(address)?.link.as_ref()?;
        Some(link.state())
    }

    /// Opens the link to a node ahead of its first call.
    pub(crate) fn warm(&self, address: &str) {
        // A node that cannot be reached now is tried again when it is needed.
        drop(self.link(address));
    }

    /// The link to a node, opened if need be; while it backs off, why the last one ended.
    pub(crate) fn link(&self, address: &str) -> Result<Arc<Link>, Arc<str>> {
        let now = Instant::now();
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if !nodes.contains_key(address) {
            make_room(&mut nodes);
            nodes.insert(address.into(), Node::new(now));
        }
        let node = nodes.get_mut(address).expect("inserted above");
        node.used = now;
        node.settle(now);
        if let Some(link) = &node.link {
            return Ok(Arc::clone(link));
        }
        if now < node.not_before {
            return Err(Arc::clone(&node.reason));
        }
        let link = Arc::new(Link::open(
            address.into(),
            self.pin.clone(),
            self.dialer.clone(),
            self.rumour.clone(),
        ));
        node.link = Some(Arc::clone(&link));
        Ok(link)
    }
}

fn make_room(nodes: &mut HashMap<Arc<str>, Node>) {
    while nodes.len() >= MAX_NODES {
        let Some(oldest) = nodes.iter().min_by_key(|(_, node)| node.used) else {
            return;
        };
        let oldest = Arc::clone(oldest.0);
        nodes.remove(&oldest);
    }
}
