//! Members that look for each other.
//!
//! Raft dials committed addresses, and all of them may be out of date at once: the pods of a cluster
//! come back with new ones. So each member shakes hands with whomever discovery shows, and with
//! whom those have met. A member that hears of no leader also asks whether it still is one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};

use tokio::time::Instant;

use super::joining::Joiner;
use crate::discovery::PeerSet;
use crate::raft::{RaftNode, RaftView, Role};

/// How often a member looks whether it is led, and shakes hands while it is not.
const TICK: Duration = Duration::from_millis(500);
/// How often members shake hands though all is well.
const CALM: Duration = Duration::from_secs(10);
/// How often a member without a leader asks whether it still is one.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How often one that was removed for good asks.
const ASK_WHEN_REMOVED: Duration = Duration::from_secs(30);
/// Members asked one after the other.
const ASK_AT_MOST: usize = 8;
/// Handshakes under way at once.
const AT_ONCE: usize = 16;
/// Addresses visited in one round.
const MAX_ADDRESSES: usize = 256;

/// Shakes hands for as long as raft runs.
pub(crate) async fn run(
    raft: RaftNode,
    mut discovered: BoxStream<'static, PeerSet>,
    joiner: Arc<Joiner>,
) {
    let mut introductions = Introductions {
        raft,
        joiner,
        discovered: BTreeSet::new(),
        hints: BTreeSet::new(),
        greeted: None,
        asked: None,
        leaderless_since: None,
    };
    loop {
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            Some(set) = discovered.next() => {
                let peers = set.peers.iter().take(MAX_ADDRESSES);
                introductions.discovered = peers.map(ToString::to_string).collect();
                introductions.greeted = None;
            }
        }
        // A set that is there already belongs to this round.
        while let Some(Some(set)) = discovered.next().now_or_never() {
            let peers = set.peers.iter().take(MAX_ADDRESSES);
            introductions.discovered = peers.map(ToString::to_string).collect();
        }
        introductions.round().await;
    }
}

struct Introductions {
    raft: RaftNode,
    joiner: Arc<Joiner>,
    discovered: BTreeSet<String>,
    /// Addresses others have met members at.
    hints: BTreeSet<String>,
    greeted: Option<Instant>,
    asked: Option<Instant>,
    leaderless_since: Option<Instant>,
}

impl Introductions {
    async fn round(&mut self) {
        let view = self.raft.view();
        let me = self.raft.peers().me().node_id;
        self.raft
            .peers()
            .set_members(view.members.members.nodes.keys().copied());
        let belongs = view.members.members.nodes.contains_key(&me);
        let led = self.is_led(&view);
        self.leaderless_since = match (led, self.leaderless_since) {
            (true, _) => None,
            (false, since) => since.or_else(|| Some(Instant::now())),
        };
        let urgent = !belongs || !led;
        let due = self.greeted.is_none_or(|at| at.elapsed() >= CALM);
        if urgent || due {
            self.greet_all(&view).await;
            self.greeted = Some(Instant::now());
        }
        let lost = self
            .leaderless_since
            .is_some_and(|since| since.elapsed() >= ASK_EVERY);
        if belongs && led {
            self.joiner.belongs(view.members.log_id);
        } else if lost || !belongs {
            self.ask(&view).await;
        }
    }

    /// Whether a leader is there: this node with a quorum, or one that was heard lately. What raft
    /// calls the leader may long be gone.
    fn is_led(&self, view: &RaftView) -> bool {
        let peers = self.raft.peers();
        let patience = 2 * Duration::from_millis(peers.me().timers.election_max_ms.into());
        let alone = view.members.members.voters().len() == 1;
        match view.role {
            Role::Leader => {
                alone
                    || view
                        .quorum_contact
                        .is_some_and(|at| at.elapsed() < patience)
            }
            _ => peers.leader_heard_within(patience),
        }
    }

    async fn greet_all(&mut self, view: &RaftView) {
        let peers = self.raft.peers();
        let committed = view.members.members.nodes.values();
        let mut addresses: BTreeSet<String> = committed.map(|info| info.address.clone()).collect();
        addresses.extend(self.discovered.iter().cloned());
        addresses.extend(std::mem::take(&mut self.hints));
        addresses.remove(&peers.me().address);
        addresses.remove("");
        let greetings = addresses.into_iter().take(MAX_ADDRESSES);
        let greetings = greetings.map(|address| async move {
            match peers.greet(&address).await {
                Ok(knows) => knows,
                Err(error) => {
                    tracing::trace!(%error, "not met");
                    Vec::new()
                }
            }
        });
        let met: Vec<Vec<String>> = stream::iter(greetings)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        self.hints = met.into_iter().flatten().take(MAX_ADDRESSES).collect();
    }

    /// Asks a member whether this node still is one, and to be taken in again if not.
    async fn ask(&mut self, view: &RaftView) {
        let every = if self.joiner.is_out() {
            ASK_WHEN_REMOVED
        } else {
            ASK_EVERY
        };
        if self.asked.is_some_and(|at| at.elapsed() < every) {
            return;
        }
        self.asked = Some(Instant::now());
        // Some may be out as well, or follow a leader that is gone: until one settles it.
        for address in self.raft.peers().addresses(ASK_AT_MOST) {
            if self.joiner.ask(&address, view.members.log_id).await {
                return;
            }
        }
    }
}
