//! What discovery shows to each node: not all of the others, and not the same to all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;

use super::super::invent::below;
use crate::context::Rng;
use crate::discovery::{Discovery, PeerAddress, PeerSet};
use crate::testing::cluster::TestNode;

/// What each node sees; clones share it.
#[derive(Clone, Default)]
pub(in super::super) struct Sights(Arc<Mutex<BTreeMap<TestNode, watch::Sender<PeerSet>>>>);

impl Sights {
    /// What a node sees from now on.
    pub(in super::super) fn show(
        &self,
        node: TestNode,
        peers: impl IntoIterator<Item = PeerAddress>,
    ) {
        let set = PeerSet {
            peers: peers.into_iter().collect(),
            // As of a source that cannot know how many there are.
            expect: None,
        };
        let mut sights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sights.entry(node).or_default().send_replace(set);
    }

    /// Shows some of the nodes at random, itself or not.
    pub(super) fn show_some(&self, node: TestNode, all: &[PeerAddress], rng: &mut Rng) {
        let some = all.iter().filter(|_| below(rng, 2) == 0).cloned();
        self.show(node, some.collect::<Vec<_>>());
    }

    /// The source of a node.
    pub(in super::super) fn of(&self, node: TestNode) -> impl Discovery {
        let mut sights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Sight(sights.entry(node).or_default().subscribe())
    }
}

struct Sight(watch::Receiver<PeerSet>);

impl Discovery for Sight {
    fn name(&self) -> &str {
        "sight"
    }

    fn peers(&self) -> BoxStream<'static, PeerSet> {
        WatchStream::new(self.0.clone()).boxed()
    }
}
