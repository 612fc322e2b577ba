//! What a source of peers has shown so far.

use std::collections::BTreeSet;
use std::time::Duration;

use braft::{Discovery, PeerAddress, PeerSet};
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// After this time without the wanted set a test has failed; far above what any needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Follows a source in the background, as a node does.
pub(crate) struct Seen {
    sets: watch::Receiver<Vec<PeerSet>>,
    following: JoinHandle<()>,
}

impl Seen {
    pub(crate) fn by(source: &impl Discovery) -> Self {
        let mut stream = source.peers();
        let (sender, sets) = watch::channel(Vec::new());
        let following = tokio::spawn(async move {
            while let Some(set) = stream.next().await {
                sender.send_modify(|sets| sets.push(set));
            }
        });
        Self { sets, following }
    }

    /// Waits until the last set is this one.
    pub(crate) async fn until(&mut self, wanted: &[&str]) {
        let wanted: BTreeSet<PeerAddress> = addresses(wanted);
        let is_wanted = |sets: &Vec<PeerSet>| sets.last().is_some_and(|set| set.peers == wanted);
        let waited = tokio::time::timeout(PATIENCE, self.sets.wait_for(is_wanted));
        let done = matches!(waited.await, Ok(Ok(_)));
        assert!(done, "wanted {wanted:?}, saw {:?}", self.sets.borrow());
    }

    /// All sets, in their order.
    pub(crate) fn history(&self) -> Vec<PeerSet> {
        self.sets.borrow().clone()
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        self.following.abort();
    }
}

pub(crate) fn addresses(texts: &[&str]) -> BTreeSet<PeerAddress> {
    let parsed = texts.iter().map(|text| text.parse());
    parsed.collect::<Result<_, _>>().expect("addresses")
}
