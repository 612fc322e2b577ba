//! Whom a node has heard of, and which set it would choose.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Hello, MAX_GOSSIP};
use crate::discovery::{PeerAddress, PeerSet};

/// Most nodes, and most rumoured addresses, kept at a time; the longest unheard of gives way.
const MAX_PEERS: usize = 256;

/// Most addresses taken from discovery; a range of addresses given by mistake ends here.
const MAX_DISCOVERED: usize = 1024;

/// After how many times the time of freshness a node is forgotten, and no longer contacted.
const FORGET_AFTER: u32 = 20;

/// Whom a node has heard of. All of it is volatile, and none of it matters for safety.
#[derive(Debug, Default)]
pub(super) struct View {
    discovered: BTreeSet<PeerAddress>,
    /// Whether that is every address there is, as a list written by hand is.
    lists_all: bool,
    /// Addresses others have heard of, with the time we were told.
    rumoured: BTreeMap<PeerAddress, Duration>,
    peers: BTreeMap<u64, Peer>,
}

/// A node that has spoken.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) hello: Hello,
    pub(super) heard_at: Duration,
}

impl View {
    pub(super) fn set_discovered(&mut self, set: PeerSet) {
        // Only a source that knows the whole set can say how many nodes there are to be.
        self.lists_all = set.expect.is_some();
        self.discovered = set.peers.into_iter().take(MAX_DISCOVERED).collect();
    }

    /// Whether the addresses that were discovered are all there are.
    pub(super) fn lists_all(&self) -> bool {
        self.lists_all
    }

    /// Takes in what a node said about itself.
    pub(super) fn learn(&mut self, mut hello: Hello, now: Duration) {
        for address in std::mem::take(&mut hello.knows)
            .into_iter()
            .take(MAX_GOSSIP)
        {
            if self.rumoured.len() < MAX_PEERS || self.rumoured.contains_key(&address) {
                self.rumoured.insert(address, now);
            }
        }
        if let Some(known) = self.peers.get(&hello.node_id) {
            // Messages overtake each other, but floors only rise and a member stays one.
            hello.floor = hello.floor.max(known.hello.floor);
            hello.cluster_id = hello.cluster_id.or(known.hello.cluster_id);
        } else if self.peers.len() >= MAX_PEERS {
            let oldest = self.peers.iter().min_by_key(|(_, peer)| peer.heard_at);
            if let Some(node_id) = oldest.map(|(node_id, _)| *node_id) {
                self.peers.remove(&node_id);
            }
        }
        self.peers.insert(
            hello.node_id,
            Peer {
                hello,
                heard_at: now,
            },
        );
    }

    /// Forgets what has not been heard of for long.
    pub(super) fn forget(&mut self, fresh: Duration, now: Duration) {
        let limit = fresh.saturating_mul(FORGET_AFTER);
        let recent = |at: Duration| now.saturating_sub(at) <= limit;
        self.rumoured.retain(|_, at| recent(*at));
        self.peers.retain(|_, peer| recent(peer.heard_at));
    }

    /// Every address worth a probe, without this node's own.
    pub(super) fn contacts(&self, own: &PeerAddress) -> BTreeSet<PeerAddress> {
        let peers = self.peers.values().map(|peer| &peer.hello.address);
        let all = self
            .discovered
            .iter()
            .chain(self.rumoured.keys())
            .chain(peers);
        all.filter(|address| *address != own).cloned().collect()
    }

    /// Whether a node has answered from each address worth a probe.
    pub(super) fn all_answered(&self, own: &PeerAddress) -> bool {
        let heard: BTreeSet<_> = self
            .peers
            .values()
            .map(|peer| &peer.hello.address)
            .collect();
        self.contacts(own)
            .iter()
            .all(|address| heard.contains(address))
    }

    /// Where a node was last heard of.
    pub(super) fn address(&self, node_id: u64) -> Option<&PeerAddress> {
        self.peers.get(&node_id).map(|peer| &peer.hello.address)
    }

    /// The nodes heard of lately.
    pub(super) fn fresh(&self, fresh: Duration, now: Duration) -> impl Iterator<Item = &Peer> {
        self.peers
            .values()
            .filter(move |peer| now.saturating_sub(peer.heard_at) <= fresh)
    }

    /// Addresses to tell others: fresh ones only, so that a rumour of a dead node dies out.
    pub(super) fn gossip(&self, fresh: Duration, now: Duration) -> BTreeSet<PeerAddress> {
        self.fresh(fresh, now)
            .map(|peer| peer.hello.address.clone())
            .take(MAX_GOSSIP)
            .collect()
    }
}
