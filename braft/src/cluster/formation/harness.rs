//! Nodes, their disks and the network between them, for tests: every step is the test's choice.
//!
//! Each initialization and each cluster id that reaches a disk is checked against all earlier
//! ones, so that every test that uses the harness also tests the protocol's promise.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Action, Event, Formation, Hello, Identity, MemberSet, Message, PromiseRecord, Start, Timing,
};
use crate::discovery::{PeerAddress, PeerSet};

/// What is on its way.
#[derive(Clone, Debug)]
pub(super) enum Packet {
    /// A message of the protocol; `from` is where a reply goes.
    Message {
        from: PeerAddress,
        to: PeerAddress,
        message: Box<Message>,
    },
    /// Raft traffic of a cluster.
    Raft { to: PeerAddress, cluster_id: u128 },
    /// A node asks to be taken in.
    Join {
        from: PeerAddress,
        to: PeerAddress,
        cluster_id: u128,
    },
}

impl Packet {
    pub(super) fn to(&self) -> &PeerAddress {
        match self {
            Self::Message { to, .. } | Self::Raft { to, .. } | Self::Join { to, .. } => to,
        }
    }
}

/// One node: its disk, and the process on it while it runs.
#[derive(Debug)]
pub(super) struct Node {
    identity: Identity,
    pub(super) record: PromiseRecord,
    /// Cluster id on disk, and whether raft's log has its first entry.
    pub(super) cluster: Option<(u128, bool)>,
    pub(super) process: Option<Formation>,
    pub(super) discovered: PeerSet,
    pub(super) reported: String,
    pub(super) joins: Vec<u128>,
}

/// All nodes, by address, and all that is on its way between them.
#[derive(Debug)]
pub(super) struct World {
    pub(super) nodes: Vec<Node>,
    pub(super) network: Vec<Packet>,
    pub(super) now: Duration,
    /// Everything that was ever initialized.
    pub(super) clusters: BTreeMap<u128, MemberSet>,
    next_id: u64,
}

pub(super) fn address(index: usize) -> PeerAddress {
    format!("node{index}:15000").parse().expect("an address")
}

impl World {
    /// `count` pristine, running nodes with ids 1, 2, … that all see each other.
    pub(super) fn new(count: usize, expect: Option<u32>) -> Self {
        let all = PeerSet {
            peers: (0..count).map(address).collect(),
            expect: expect.map(|nodes| nodes as usize),
        };
        let mut world = Self {
            nodes: Vec::new(),
            network: Vec::new(),
            now: Duration::ZERO,
            clusters: BTreeMap::new(),
            next_id: 1,
        };
        for index in 0..count {
            world.nodes.push(Node {
                identity: Identity {
                    node_id: world.next_id,
                    cluster_name: "test".to_owned(),
                    address: address(index),
                    expect,
                },
                record: PromiseRecord::default(),
                cluster: None,
                process: None,
                discovered: all.clone(),
                reported: String::new(),
                joins: Vec::new(),
            });
            world.next_id += 1;
            world.start(index);
        }
        world
    }

    pub(super) fn set_expect(&mut self, index: usize, expect: Option<u32>) {
        self.nodes[index].identity.expect = expect;
        self.crash(index);
        self.start(index);
    }

    pub(super) fn node_id(&self, index: usize) -> u64 {
        self.nodes[index].identity.node_id
    }

    /// What a node says about itself that matters for safety; the rest as empty as can be.
    pub(super) fn hello(&self, index: usize) -> Hello {
        let node = &self.nodes[index];
        Hello {
            node_id: node.identity.node_id,
            cluster_name: "test".to_owned(),
            address: address(index),
            cluster_id: node.cluster.map(|(cluster_id, _)| cluster_id),
            expect: node.identity.expect,
            promised: false,
            floor: 0,
            choice: BTreeSet::new(),
            knows: BTreeSet::new(),
        }
    }

    /// Starts a process with what is on the disk.
    pub(super) fn start(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if node.process.is_some() {
            return;
        }
        let start = node
            .cluster
            .map_or(Start::Pristine, |(cluster_id, initialized)| Start::Member {
                cluster_id,
                initialized,
            });
        let identity = node.identity.clone();
        let process = Formation::new(identity, node.record.clone(), start, Timing::default());
        node.process = Some(process);
        let discovered = node.discovered.clone();
        self.event(index, Event::Discovered(discovered), usize::MAX);
    }

    /// Ends a process; what it had in memory is lost.
    pub(super) fn crash(&mut self, index: usize) {
        self.nodes[index].process = None;
    }

    /// Ends a process and empties its disk: another node at the same address.
    pub(super) fn wipe(&mut self, index: usize) {
        self.crash(index);
        let node = &mut self.nodes[index];
        node.identity.node_id = self.next_id;
        node.record = PromiseRecord::default();
        node.cluster = None;
        self.next_id += 1;
        self.start(index);
    }

    pub(super) fn discover(&mut self, index: usize, set: PeerSet) {
        self.nodes[index].discovered.clone_from(&set);
        self.event(index, Event::Discovered(set), usize::MAX);
    }

    pub(super) fn tick(&mut self, index: usize) {
        self.tick_until(index, usize::MAX);
    }

    /// As [`World::tick`], but crashes after so many actions.
    pub(super) fn tick_until(&mut self, index: usize, actions: usize) {
        self.event(index, Event::Tick, actions);
        self.heartbeat(index);
    }

    /// What raft does on an initialized node: it talks to the initial members and to all that
    /// were taken in.
    fn heartbeat(&mut self, index: usize) {
        let node = &self.nodes[index];
        let (Some(_), Some((cluster_id, true))) = (&node.process, node.cluster) else {
            return;
        };
        let mut targets: BTreeSet<_> = self.clusters[&cluster_id].values().cloned().collect();
        for (other, node) in self.nodes.iter().enumerate() {
            if node.cluster.is_some_and(|(id, _)| id == cluster_id) {
                targets.insert(address(other));
            }
        }
        targets.remove(&address(index));
        for to in targets {
            self.network.push(Packet::Raft { to, cluster_id });
        }
    }

    /// Feeds an event and carries out at most so many of the actions, then crashes if any is left.
    pub(super) fn event(&mut self, index: usize, event: Event, limit: usize) {
        self.event_from(index, event, None, limit);
    }

    fn event_from(&mut self, index: usize, event: Event, from: Option<PeerAddress>, limit: usize) {
        let now = self.now;
        let Some(process) = &mut self.nodes[index].process else {
            return;
        };
        let actions = process.handle(event, now);
        for (done, action) in actions.into_iter().enumerate() {
            if done >= limit {
                return self.crash(index);
            }
            self.act(index, action, from.as_ref());
        }
        self.report_start(index);
    }

    fn act(&mut self, index: usize, action: Action, from: Option<&PeerAddress>) {
        let own = address(index);
        match action {
            Action::Persist(record) => {
                let before = &self.nodes[index].record;
                assert!(record.floor >= before.floor, "a floor sank");
                if let (Some(old), Some(new)) = (&before.promise, &record.promise) {
                    assert_eq!(old, new, "a promise was replaced without release");
                }
                self.nodes[index].record = record;
            }
            Action::Send { to, message } => {
                assert_ne!(to, own, "a node sends to itself");
                self.network.push(Packet::Message {
                    from: own,
                    to,
                    message: Box::new(message),
                });
            }
            Action::Reply(message) => {
                let to = from.expect("a reply answers a message").clone();
                self.network.push(Packet::Message {
                    from: own,
                    to,
                    message: Box::new(message),
                });
            }
            Action::Initialize {
                cluster_id,
                members,
            } => {
                self.check_initialize(index, cluster_id, &members);
                self.clusters.insert(cluster_id, members);
                self.commit(index, cluster_id, true);
            }
            Action::Follow { cluster_id } => self.commit(index, cluster_id, false),
            Action::Join { cluster_id, peer } => {
                self.nodes[index].joins.push(cluster_id);
                self.network.push(Packet::Join {
                    from: own,
                    to: peer,
                    cluster_id,
                });
            }
            Action::Report(text) => self.nodes[index].reported = text,
        }
    }

    /// The protocol's promise: sets of different clusters share no node.
    fn check_initialize(&self, index: usize, cluster_id: u128, members: &MemberSet) {
        assert!(
            members.contains_key(&self.node_id(index)),
            "a stranger initializes"
        );
        for (other_id, others) in &self.clusters {
            if *other_id == cluster_id {
                assert_eq!(others, members, "one cluster id for two sets");
            } else {
                let shared: Vec<_> = members
                    .keys()
                    .filter(|id| others.contains_key(id))
                    .collect();
                assert!(
                    shared.is_empty(),
                    "two clusters from overlapping sets: {shared:?}"
                );
            }
        }
        for node in self
            .nodes
            .iter()
            .filter(|node| members.contains_key(&node.identity.node_id))
        {
            let elsewhere = node.cluster.is_some_and(|(id, _)| id != cluster_id);
            assert!(!elsewhere, "an initial member belongs to another cluster");
        }
    }

    /// Writes a cluster id to a node's disk.
    fn commit(&mut self, index: usize, cluster_id: u128, initialized: bool) {
        let node_id = self.node_id(index);
        if let Some((before, _)) = self.nodes[index].cluster {
            assert_eq!(before, cluster_id, "a node changed its cluster");
        }
        for (other_id, members) in &self.clusters {
            let stolen = members.contains_key(&node_id) && *other_id != cluster_id;
            assert!(!stolen, "an initial member went to another cluster");
        }
        self.nodes[index].cluster = Some((cluster_id, initialized));
    }

    /// Tells the process what its disk says about the cluster, if it does not know.
    fn report_start(&mut self, index: usize) {
        let node = &self.nodes[index];
        let (Some(process), Some((cluster_id, initialized))) = (&node.process, node.cluster) else {
            return;
        };
        if process.cluster_id() != Some(cluster_id) {
            self.event(
                index,
                Event::Started {
                    cluster_id,
                    initialized,
                },
                usize::MAX,
            );
        }
    }

    /// Delivers one packet; a copy of it may be delivered again.
    pub(super) fn deliver(&mut self, packet: Packet, limit: usize) {
        let Some(index) = (0..self.nodes.len()).find(|index| address(*index) == *packet.to())
        else {
            return;
        };
        match packet {
            Packet::Message { from, message, .. } => {
                let event = Event::Received(message);
                self.event_from(index, event, Some(from), limit);
            }
            Packet::Raft { cluster_id, .. } => match self.nodes[index].cluster {
                None => self.event(index, Event::Contacted(cluster_id), limit),
                // The sender holds the first entry and passes it on.
                Some((own, false)) if own == cluster_id => {
                    self.nodes[index].cluster = Some((own, true));
                    let event = Event::Started {
                        cluster_id,
                        initialized: true,
                    };
                    self.event(index, event, limit);
                }
                Some(_) => {}
            },
            Packet::Join {
                from, cluster_id, ..
            } => {
                let node = &self.nodes[index];
                if node.process.is_some() && node.cluster == Some((cluster_id, true)) {
                    self.network.push(Packet::Raft {
                        to: from,
                        cluster_id,
                    });
                }
            }
        }
    }

    /// Delivers all that is on its way and all that follows from it, in order.
    pub(super) fn deliver_all(&mut self) {
        self.deliver_where(|_| true);
    }

    /// As [`World::deliver_all`]; what the filter turns down is lost.
    pub(super) fn deliver_where(&mut self, mut passes: impl FnMut(&Packet) -> bool) {
        while !self.network.is_empty() {
            for packet in std::mem::take(&mut self.network) {
                if passes(&packet) {
                    self.deliver(packet, usize::MAX);
                }
            }
        }
    }

    /// Lets time pass with a reliable network until all nodes that run are members.
    ///
    /// # Panics
    /// If that takes more than `rounds` ticks.
    pub(super) fn settle(&mut self, rounds: usize) {
        for _ in 0..rounds {
            if self.settled() {
                return;
            }
            self.round();
        }
        let waiting: Vec<_> = self
            .nodes
            .iter()
            .map(|node| (&node.cluster, &node.reported))
            .collect();
        assert!(
            self.settled(),
            "not all nodes are members after {rounds} rounds: {waiting:#?}"
        );
    }

    /// One tick for each node, then all messages.
    pub(super) fn round(&mut self) {
        self.now += Timing::default().tick;
        for index in 0..self.nodes.len() {
            self.tick(index);
        }
        self.deliver_all();
    }

    fn settled(&self) -> bool {
        let mut running = self.nodes.iter().filter(|node| node.process.is_some());
        running.all(|node| node.cluster.is_some_and(|(_, initialized)| initialized))
    }

    /// The clusters that nodes belong to.
    pub(super) fn memberships(&self) -> BTreeSet<u128> {
        self.nodes
            .iter()
            .filter_map(|node| Some(node.cluster?.0))
            .collect()
    }
}
