//! The rules of the handshake: who may speak to this node at all.
//!
//! No raft message is taken from a process that has not shaken hands. That keeps out foreign
//! clusters, wiped nodes, copied disks, and disks that were put back to an earlier state.

use std::collections::VecDeque;
use std::time::Instant;

use tonic::Status;

use super::peers::{Known, Peers, Progress, locked};
use crate::member::{NodeInfo, display_id};
use crate::wire::convert::{cluster_id_from, cluster_id_to};
use crate::wire::v1 as pb;

/// The version of what nodes say to each other.
pub(crate) const PROTOCOL: u32 = 1;
/// Incarnations of one node that are remembered as over.
const MAX_PAST_INCARNATIONS: usize = 16;
/// Addresses of other members in one answer.
const MAX_HINTS: usize = 64;

/// What a process says of itself in a handshake.
#[derive(Clone, Debug)]
pub(super) struct Introduction {
    pub(super) node_id: u64,
    pub(super) incarnation: u64,
    pub(super) info: NodeInfo,
    pub(super) version: String,
    /// Absent while it opens its disk.
    pub(super) progress: Option<Progress>,
}

impl Introduction {
    pub(super) fn of_caller(request: &pb::HandshakeRequest) -> Self {
        Introduction {
            node_id: request.node_id,
            incarnation: request.incarnation,
            info: info(request.about.as_ref(), &request.address),
            version: request.version.clone(),
            progress: request.progress.as_ref().map(progress),
        }
    }

    pub(super) fn of_answer(answer: &pb::HandshakeResponse) -> Self {
        Introduction {
            node_id: answer.node_id,
            incarnation: answer.incarnation,
            info: info(answer.about.as_ref(), &answer.address),
            version: answer.version.clone(),
            progress: answer.progress.as_ref().map(progress),
        }
    }
}

fn info(about: Option<&pb::About>, address: &str) -> NodeInfo {
    let about = about.cloned().unwrap_or_default();
    NodeInfo {
        name: about.name,
        name_is_chosen: about.name_is_chosen,
        address: address.to_owned(),
        http_address: about.http_address,
    }
}

fn progress(progress: &pb::Progress) -> Progress {
    Progress {
        vote_term: progress.vote_term,
        last_index: progress.last_index,
    }
}

impl Peers {
    /// Whether a raft message may be looked at.
    pub(super) fn admit(&self, envelope: Option<&pb::Envelope>) -> Result<(), Status> {
        let refused = |text: String| Err(Status::failed_precondition(text));
        let Some(envelope) = envelope else {
            return Err(Status::invalid_argument("field envelope is missing"));
        };
        let cluster_id = cluster_id_from(&envelope.cluster_id).ok();
        if cluster_id.is_none() || cluster_id != self.cluster_id() {
            return refused(format!(
                "this node belongs to {}, the sender to {}",
                cluster_text(self.cluster_id()),
                cluster_text(cluster_id)
            ));
        }
        if envelope.to != self.me.node_id {
            return refused(format!(
                "this is node {}, not {}",
                display_id(self.me.node_id),
                display_id(envelope.to)
            ));
        }
        match locked(&self.known).get(&envelope.from) {
            Some(known) if known.incarnation == envelope.incarnation && known.owed.is_none() => {
                Ok(())
            }
            Some(known) if known.past.contains(&envelope.incarnation) => {
                let text = two_processes(envelope.from, &known.address);
                tracing::error!("{text}");
                refused(text)
            }
            _ => refused("shake hands first".to_owned()),
        }
    }

    /// Answers a handshake; remembers where the caller is.
    pub(crate) async fn answer_handshake(
        &self,
        request: pb::HandshakeRequest,
    ) -> Result<pb::HandshakeResponse, Status> {
        self.check_stranger(&request)?;
        if request.node_id == self.me.node_id && request.incarnation != self.me.incarnation {
            let text = two_processes(self.me.node_id, &request.address);
            tracing::error!("{text}");
            return Err(Status::already_exists(text));
        }
        let same_cluster = !request.cluster_id.is_empty();
        if request.node_id != 0 && same_cluster && request.node_id != self.me.node_id {
            self.meet(Introduction::of_caller(&request), &request.address)
                .await?;
        }
        Ok(self.introduce())
    }

    pub(super) fn own_about(&self) -> pb::About {
        pb::About {
            name: self.me.name.clone(),
            name_is_chosen: self.me.name_is_chosen,
            http_address: self.me.http_address.clone(),
        }
    }

    pub(super) fn own_progress(&self) -> Option<pb::Progress> {
        self.progress().map(|progress| pb::Progress {
            vote_term: progress.vote_term,
            last_index: progress.last_index,
        })
    }

    fn introduce(&self) -> pb::HandshakeResponse {
        pb::HandshakeResponse {
            cluster_id: self.cluster_id().map(cluster_id_to).unwrap_or_default(),
            cluster_name: self.me.cluster_name.clone(),
            node_id: self.me.node_id,
            incarnation: self.me.incarnation,
            address: self.me.address.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            heartbeat_ms: self.me.timers.heartbeat_ms,
            election_min_ms: self.me.timers.election_min_ms,
            election_max_ms: self.me.timers.election_max_ms,
            about: Some(self.own_about()),
            progress: self.own_progress(),
            knows: self.addresses(MAX_HINTS),
        }
    }

    fn check_stranger(&self, request: &pb::HandshakeRequest) -> Result<(), Status> {
        if request.protocol != PROTOCOL {
            return Err(Status::failed_precondition(format!(
                "this node speaks protocol {PROTOCOL} (braft {}), the caller {} (braft {}); \
                 upgrade the older one",
                env!("CARGO_PKG_VERSION"),
                request.protocol,
                request.version
            )));
        }
        if request.cluster_id.is_empty() {
            return Ok(());
        }
        let theirs = cluster_id_from(&request.cluster_id)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        if self.cluster_id().is_some_and(|ours| ours != theirs) {
            let text = format!(
                "node {} at {} belongs to {}, this node to {}; clusters never merge: \
                 give one of them another cluster name or address list",
                display_id(request.node_id),
                request.address,
                cluster_text(Some(theirs)),
                cluster_text(self.cluster_id())
            );
            tracing::warn!("{text}");
            return Err(Status::failed_precondition(text));
        }
        Ok(())
    }

    /// Takes note of a process that was met at an address.
    pub(super) async fn meet(&self, who: Introduction, address: &str) -> Result<(), Status> {
        self.check_takeover(&who, address).await?;
        let mut all = locked(&self.known);
        if !all.contains_key(&who.node_id) {
            Peers::make_room(&mut all);
        }
        let known = all
            .entry(who.node_id)
            .or_insert_with(|| Known::new(&who, address));
        if known.past.contains(&who.incarnation) {
            return Err(Status::already_exists(two_processes(
                who.node_id,
                &known.address,
            )));
        }
        known.renew(who.incarnation);
        if let (Some(owed), Some(shown)) = (known.owed, who.progress) {
            if behind(shown, owed) {
                let text = put_back(who.node_id, shown, owed);
                tracing::error!("{text}");
                return Err(Status::data_loss(text));
            }
            known.owed = None;
        }
        known.info = who.info;
        known.version = who.version;
        known.met = Instant::now();
        address.clone_into(&mut known.address);
        Ok(())
    }

    /// Refuses a new process under a known id while the old one still answers.
    async fn check_takeover(&self, who: &Introduction, address: &str) -> Result<(), Status> {
        let before = {
            let known = locked(&self.known);
            known
                .get(&who.node_id)
                .map(|known| (known.incarnation, known.address.clone()))
        };
        let Some((current, old_address)) = before else {
            return Ok(());
        };
        if current == who.incarnation || old_address == address {
            return Ok(());
        }
        // Two processes, or one that moved? The old address decides.
        let there = self.probe(&old_address).await;
        let alive = there
            .is_some_and(|answer| answer.node_id == who.node_id && answer.incarnation == current);
        if alive {
            let text = two_processes(who.node_id, &old_address);
            tracing::error!("{text}");
            return Err(Status::already_exists(text));
        }
        Ok(())
    }
}

impl Known {
    fn new(who: &Introduction, address: &str) -> Self {
        Known {
            address: address.to_owned(),
            info: who.info.clone(),
            version: who.version.clone(),
            incarnation: who.incarnation,
            past: VecDeque::new(),
            met: Instant::now(),
            acknowledged: Progress::default(),
            owed: None,
        }
    }

    /// Turns to another incarnation: what the last one acknowledged has to be on its disk.
    fn renew(&mut self, incarnation: u64) {
        if self.incarnation == incarnation {
            return;
        }
        if self.past.len() >= MAX_PAST_INCARNATIONS {
            self.past.pop_front();
        }
        self.past.push_back(self.incarnation);
        self.incarnation = incarnation;
        let acknowledged = std::mem::take(&mut self.acknowledged);
        if acknowledged != Progress::default() {
            self.owed = Some(
                self.owed
                    .map_or(acknowledged, |owed| owed.max(acknowledged)),
            );
        }
    }
}

/// Whether a disk lies behind what was acknowledged from it. A later vote may have come with a
/// leader that cut the log back: then there is nothing to compare.
fn behind(shown: Progress, owed: Progress) -> bool {
    shown < owed
}

fn cluster_text(id: Option<u128>) -> String {
    id.map_or_else(
        || "no cluster".to_owned(),
        |id| format!("cluster {id:032x}"),
    )
}

fn two_processes(node_id: u64, address: &str) -> String {
    format!(
        "two processes run with node id {}, one of them at {address}: a data directory was \
         copied; stop one of them and give it an empty data directory",
        display_id(node_id)
    )
}

fn put_back(node_id: u64, shown: Progress, owed: Progress) -> String {
    format!(
        "the disk of node {} lies behind what the node acknowledged (it shows term {} and log \
         index {}, and had acknowledged term {} and index {}): an old copy of its data directory \
         was put back; give it an empty data directory, and it joins as a new node",
        display_id(node_id),
        shown.vote_term,
        shown.last_index,
        owed.vote_term,
        owed.last_index
    )
}

#[cfg(test)]
mod tests {
    use super::super::peers::Identity;
    use super::*;
    use crate::net::Dialer;

    const CLUSTER: u128 = 5;

    fn peers() -> Peers {
        let me = Identity {
            node_id: 1,
            incarnation: 1,
            address: "127.0.0.1:1".to_owned(),
            ..Identity::default()
        };
        Peers::new(me, Dialer::default(), Some(CLUSTER))
    }

    fn shown(vote_term: u64, last_index: u64) -> Option<Progress> {
        Some(Progress {
            vote_term,
            last_index,
        })
    }

    fn node(incarnation: u64, progress: Option<Progress>) -> Introduction {
        Introduction {
            node_id: 2,
            incarnation,
            info: NodeInfo::default(),
            version: String::new(),
            progress,
        }
    }

    fn envelope(incarnation: u64) -> pb::Envelope {
        pb::Envelope {
            cluster_id: cluster_id_to(CLUSTER),
            from: 2,
            to: 1,
            incarnation,
        }
    }

    /// A node whose first incarnation has acknowledged index 100 in term 7.
    async fn acknowledged() -> Peers {
        let peers = peers();
        peers.meet(node(10, shown(7, 0)), "a:1").await.expect("new");
        let progress = Progress {
            vote_term: 7,
            last_index: 100,
        };
        peers.note_acknowledged(2, progress);
        peers
    }

    #[tokio::test]
    async fn a_disk_that_was_put_back_is_refused() {
        for (term, index) in [(7, 99), (6, 500)] {
            let peers = acknowledged().await;
            let refused = peers.meet(node(11, shown(term, index)), "a:1").await;
            let status = refused.expect_err("it lies behind");
            assert_eq!(status.code(), tonic::Code::DataLoss);
            assert!(status.message().contains("empty data directory"));
            assert!(peers.admit(Some(&envelope(11))).is_err());
        }
    }

    #[tokio::test]
    async fn a_disk_that_holds_what_it_acknowledged_is_let_in() {
        // A later leader may have cut the log back: then the vote is a later one.
        for (term, index) in [(7, 100), (7, 101), (8, 3)] {
            let peers = acknowledged().await;
            let met = peers.meet(node(11, shown(term, index)), "a:1").await;
            met.expect("it holds all");
            peers.admit(Some(&envelope(11))).expect("it has shown it");
        }
    }

    #[tokio::test]
    async fn a_restarted_node_is_not_heard_before_it_has_shown_its_disk() {
        let peers = acknowledged().await;
        peers.meet(node(11, None), "a:1").await.expect("starting");
        assert!(peers.admit(Some(&envelope(11))).is_err());
        let later = peers.meet(node(11, shown(7, 20)), "a:1").await;
        assert_eq!(later.expect_err("behind").code(), tonic::Code::DataLoss);
        let whole = peers.meet(node(11, shown(7, 100)), "a:1").await;
        whole.expect("it holds all");
        peers.admit(Some(&envelope(11))).expect("it has shown it");
    }

    #[tokio::test]
    async fn an_incarnation_that_is_over_does_not_come_back() {
        let peers = acknowledged().await;
        let met = peers.meet(node(11, shown(7, 100)), "a:1").await;
        met.expect("restarted");
        let ghost = peers.meet(node(10, shown(7, 100)), "a:1").await;
        assert_eq!(ghost.expect_err("over").code(), tonic::Code::AlreadyExists);
    }

    #[tokio::test]
    async fn strangers_do_not_fill_the_memory() {
        let peers = peers();
        for id in 2..2000 {
            let mut who = node(1, None);
            who.node_id = id;
            peers.meet(who, "a:1").await.expect("new");
        }
        assert!(locked(&peers.known).len() <= 256);
    }
}
