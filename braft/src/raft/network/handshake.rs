//! The rules of the handshake: who may speak to this node at all.
//!
//! No raft message is taken from a process that has not shaken hands. That keeps out foreign
//! clusters, wiped nodes, copied disks, and disks that were put back to an earlier state.
//!
//! Each start of a data directory is counted in it, and every member shakes hands with every other
//! one. Of two processes under one id, the one with more starts is the later one. One with fewer is a
//! ghost, or runs on an old copy; one with as many runs on a copy. A disk that was put back without
//! a start in between shows by what it had acknowledged: each peer remembers that.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;

use super::peers::{Known, Peers, Progress, locked};
use crate::machine::Versions;
use crate::member::{NodeInfo, display_id};
use crate::planted::{self, Bug};
use crate::wire::convert::{cluster_id_from, cluster_id_to};
use crate::wire::v1 as pb;

/// The latest version of what nodes say to each other that this build speaks.
pub(crate) const PROTOCOL: u32 = 1;
/// The oldest one. A build speaks that of the minor version before it as well, so that nodes can be
/// upgraded one by one.
pub(crate) const OLDEST_PROTOCOL: u32 = 1;
/// Services of one node; further ones that a peer speaks of are not looked at.
const MAX_SERVICES: usize = 256;
/// The longest the old address of a node is waited for. Well below what a caller waits for its own
/// handshake: an address behind which packets vanish must not keep a node out that has moved.
const PROBE_TIMEOUT: Duration = Duration::from_millis(150);
/// Addresses of other members in one answer.
const MAX_HINTS: usize = 64;

/// What a process says of itself in a handshake.
#[derive(Clone, Debug)]
pub(super) struct Introduction {
    pub(super) node_id: u64,
    pub(super) incarnation: u64,
    pub(super) starts: u64,
    pub(super) info: NodeInfo,
    pub(super) version: String,
    /// Whether its services were built with debug assertions, if it says so.
    pub(super) is_checked: Option<bool>,
    pub(super) versions: Versions,
    /// Absent while it opens its disk.
    pub(super) progress: Option<Progress>,
}

impl Introduction {
    pub(super) fn of_caller(request: &pb::HandshakeRequest) -> Self {
        Introduction {
            node_id: request.node_id,
            incarnation: request.incarnation,
            starts: request.starts,
            info: info(request.about.as_ref(), &request.address),
            version: request.version.clone(),
            is_checked: is_checked(request.about.as_ref()),
            versions: versions_from(request.about.as_ref()),
            progress: request.progress.as_ref().map(progress),
        }
    }

    pub(super) fn of_answer(answer: &pb::HandshakeResponse) -> Self {
        Introduction {
            node_id: answer.node_id,
            incarnation: answer.incarnation,
            starts: answer.starts,
            info: info(answer.about.as_ref(), &answer.address),
            version: answer.version.clone(),
            is_checked: is_checked(answer.about.as_ref()),
            versions: versions_from(answer.about.as_ref()),
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

fn is_checked(about: Option<&pb::About>) -> Option<bool> {
    match about?.build() {
        pb::Build::Unspecified => None,
        pb::Build::Checked => Some(true),
        pb::Build::Unchecked => Some(false),
    }
}

/// The versions that a node says its binary knows.
pub(crate) fn versions_from(about: Option<&pb::About>) -> Versions {
    let services = about.map_or(&[][..], |about| &about.services);
    let services = services.iter().take(MAX_SERVICES);
    Versions(
        services
            .map(|service| (service.name.clone(), service.version))
            .collect(),
    )
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
        let is_ours = cluster_id == self.cluster_id() || planted::is(Bug::IgnoreClusterId);
        if cluster_id.is_none() || !is_ours {
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
            return Err(self.meet_double(&request));
        }
        let same_cluster = !request.cluster_id.is_empty();
        if request.node_id != 0 && same_cluster && request.node_id != self.me.node_id {
            self.meet(Introduction::of_caller(&request), &request.address)
                .await?;
        }
        Ok(self.introduce())
    }

    /// Another process runs with this node's id. The later start is the copy, and has to stop; one
    /// that was started as often may be either, so the caller has to.
    fn meet_double(&self, caller: &pb::HandshakeRequest) -> Status {
        let text = two_processes(self.me.node_id, &caller.address);
        self.complain(self.me.node_id, &text);
        if caller.starts < self.me.starts {
            self.unfit.send_replace(Some(text.clone()));
            return Status::failed_precondition(text);
        }
        Status::already_exists(text)
    }

    pub(crate) fn own_about(&self) -> pb::About {
        let services = self.me.versions.0.iter();
        let services = services.map(|(name, version)| pb::ServiceVersion {
            name: name.clone(),
            version: *version,
        });
        pb::About {
            name: self.me.name.clone(),
            name_is_chosen: self.me.name_is_chosen,
            http_address: self.me.http_address.clone(),
            build: if self.me.is_checked {
                pb::Build::Checked
            } else {
                pb::Build::Unchecked
            }
            .into(),
            services: services.collect(),
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
            starts: self.me.starts,
            oldest_protocol: OLDEST_PROTOCOL,
        }
    }

    fn check_stranger(&self, request: &pb::HandshakeRequest) -> Result<(), Status> {
        let theirs = (request.oldest_protocol, request.protocol);
        let version = &request.version;
        common_protocol((OLDEST_PROTOCOL, PROTOCOL), theirs, version)
            .map_err(Status::failed_precondition)?;
        if request.cluster_id.is_empty() {
            return Ok(());
        }
        let theirs = cluster_id_from(&request.cluster_id)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        if self.cluster_id().is_some_and(|ours| ours != theirs)
            && !planted::is(Bug::IgnoreClusterId)
        {
            let text = format!(
                "node {} at {} belongs to {}, this node to {}; clusters never merge: \
                 give one of them another cluster name or address list",
                display_id(request.node_id),
                request.address,
                cluster_text(Some(theirs)),
                cluster_text(self.cluster_id())
            );
            self.complain(request.node_id, &text);
            return Err(Status::failed_precondition(text));
        }
        Ok(())
    }

    /// Takes note of a process that was met at an address.
    pub(super) async fn meet(&self, who: Introduction, address: &str) -> Result<(), Status> {
        self.check_takeover(&who, address).await?;
        let mut all = locked(&self.known);
        if !all.contains_key(&who.node_id) {
            self.make_room(&mut all);
        }
        let known = all
            .entry(who.node_id)
            .or_insert_with(|| Known::new(&who, address));
        // Nothing is changed for the sake of a process that is refused.
        let renewed = known
            .compare(&who)
            .and_then(|renewed| match (renewed.owed, who.progress) {
                (Some(owed), Some(shown)) if behind(shown, owed) => {
                    Err(Status::data_loss(put_back(who.node_id, shown, owed)))
                }
                (Some(_), Some(_)) => Ok(Known {
                    owed: None,
                    ..renewed
                }),
                _ => Ok(renewed),
            });
        match renewed {
            Ok(renewed) => {
                let differs = who.is_checked.is_some_and(|it| it != self.me.is_checked);
                *known = Known {
                    info: who.info,
                    version: who.version,
                    versions: who.versions,
                    met: Instant::now(),
                    address: address.to_owned(),
                    ..renewed
                };
                drop(all);
                if differs {
                    self.complain(who.node_id, &other_build(who.node_id, self.me.is_checked));
                }
                Ok(())
            }
            Err(refused) => {
                drop(all);
                self.complain(who.node_id, refused.message());
                Err(refused)
            }
        }
    }

    /// Refuses another start of a known id while the known one still answers: then its data directory
    /// was copied. An earlier start that answers nowhere is one whose handshake comes late: it is
    /// refused, and that is all.
    async fn check_takeover(&self, who: &Introduction, address: &str) -> Result<(), Status> {
        let before = {
            let known = locked(&self.known);
            let known = known.get(&who.node_id);
            known.map(|known| (known.incarnation, known.starts, known.address.clone()))
        };
        let before = before.filter(|(current, ..)| *current != who.incarnation);
        let Some((current, starts, old_address)) = before else {
            return Ok(());
        };
        if who.starts < starts && !self.runs_at(address, who.node_id, who.incarnation).await {
            let text = old_copy(who.node_id, who.starts, starts);
            tracing::info!(
                node = display_id(who.node_id),
                "a handshake of an earlier start came late"
            );
            return Err(Status::already_exists(text));
        }
        if self.runs_at(&old_address, who.node_id, current).await {
            let text = two_processes(who.node_id, &old_address);
            self.complain(who.node_id, &text);
            return Err(Status::already_exists(text));
        }
        Ok(())
    }

    /// Whether this very process answers at an address.
    async fn runs_at(&self, address: &str, node_id: u64, incarnation: u64) -> bool {
        let there = tokio::time::timeout(PROBE_TIMEOUT, self.probe(address)).await;
        let there = there.ok().flatten();
        there.is_some_and(|answer| answer.node_id == node_id && answer.incarnation == incarnation)
    }
}

impl Known {
    fn new(who: &Introduction, address: &str) -> Self {
        Known {
            address: address.to_owned(),
            info: who.info.clone(),
            version: who.version.clone(),
            versions: who.versions.clone(),
            incarnation: who.incarnation,
            starts: who.starts,
            met: Instant::now(),
            acknowledged: Progress::default(),
            owed: None,
        }
    }

    /// What is known once this process is let in; refused if it is not the latest start.
    fn compare(&self, who: &Introduction) -> Result<Self, Status> {
        if self.incarnation == who.incarnation {
            return Ok(self.clone());
        }
        if who.starts <= self.starts {
            let text = old_copy(who.node_id, who.starts, self.starts);
            return Err(Status::already_exists(text));
        }
        // What the last one acknowledged has to be on the disk of this one.
        let acknowledged = Some(self.acknowledged).filter(|all| *all != Progress::default());
        Ok(Known {
            incarnation: who.incarnation,
            starts: who.starts,
            acknowledged: Progress::default(),
            owed: self.owed.max(acknowledged),
            ..self.clone()
        })
    }
}

/// Whether a disk lies behind what was acknowledged from it. A later vote may have come with a
/// leader that cut the log back: then there is nothing to compare.
fn behind(shown: Progress, owed: Progress) -> bool {
    shown < owed
}

/// The latest protocol that two builds both speak; if there is none, what to do. A range is (oldest,
/// latest), and 0 for the oldest says that there is one only.
pub(super) fn common_protocol(
    ours: (u32, u32),
    (oldest, latest): (u32, u32),
    their_version: &str,
) -> Result<u32, String> {
    let theirs = (
        if oldest == 0 {
            latest
        } else {
            oldest.min(latest)
        },
        latest,
    );
    let common = ours.1.min(theirs.1);
    if common >= ours.0.max(theirs.0) {
        return Ok(common);
    }
    let (older, newer) = if theirs.1 < ours.0 {
        ("the other", "this node")
    } else {
        ("this node", "the other")
    };
    Err(format!(
        "this node speaks {} (braft {}), the other {} (braft {their_version}): upgrade {older}, one \
         minor version after the other, until it is one before {newer}",
        range_text(ours),
        env!("CARGO_PKG_VERSION"),
        range_text(theirs),
    ))
}

fn range_text((oldest, latest): (u32, u32)) -> String {
    if oldest == latest {
        format!("protocol {latest}")
    } else {
        format!("protocols {oldest} to {latest}")
    }
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

fn other_build(node_id: u64, is_checked: bool) -> String {
    let [ours, theirs] = if is_checked {
        ["with", "without"]
    } else {
        ["without", "with"]
    };
    format!(
        "this program was built {ours} debug assertions and that of node {} {theirs}: a command may \
         panic, or overflow, on one of them alone, and they diverge; build all nodes with one \
         profile",
        display_id(node_id)
    )
}

fn old_copy(node_id: u64, starts: u64, known: u64) -> String {
    format!(
        "node {} was started {starts} times by what its disk says, and {known} times by what is \
         known of it: an old copy of its data directory was put back, or a copy runs beside it; \
         give this one an empty data directory, and it joins as a new node",
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
    use super::super::dial::DIAL_TIMEOUT;
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
            // In these tests, incarnations are numbered like starts.
            starts: incarnation,
            info: NodeInfo::default(),
            version: String::new(),
            is_checked: None,
            versions: Versions::default(),
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
        peers.note_acknowledged(2, 10, progress);
        peers
    }

    #[test]
    fn neighbouring_builds_find_a_common_protocol_and_others_say_which_way_to_go() {
        for (ours, theirs, common) in [
            ((1, 1), (0, 1), Some(1)),
            ((1, 2), (0, 1), Some(1)),
            ((1, 2), (2, 3), Some(2)),
            ((2, 3), (1, 1), None),
            ((1, 1), (2, 3), None),
        ] {
            assert_eq!(common_protocol(ours, theirs, "0.0").ok(), common);
        }
        let newer = common_protocol((3, 4), (1, 2), "0.2.0").unwrap_err();
        assert!(
            newer.contains("upgrade the other, one minor version"),
            "{newer}"
        );
        let older = common_protocol((1, 2), (3, 4), "0.4.0").unwrap_err();
        assert!(
            older.contains("upgrade this node, one minor version"),
            "{older}"
        );
    }

    #[tokio::test]
    async fn a_process_that_speaks_another_protocol_is_refused_and_not_remembered() {
        let peers = peers();
        let mut request = peers.request();
        (request.node_id, request.incarnation) = (2, 10);
        request.protocol = PROTOCOL + 2;
        request.oldest_protocol = PROTOCOL + 1;
        let refused = peers.answer_handshake(request.clone()).await;
        assert_eq!(refused.unwrap_err().code(), tonic::Code::FailedPrecondition);
        assert_eq!(peers.versions_of(2), None);
        // The next build speaks this one's protocol as well.
        request.oldest_protocol = PROTOCOL;
        peers.answer_handshake(request).await.expect("a neighbour");
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
    async fn a_copy_is_refused_and_does_not_displace_the_original() {
        let peers = acknowledged().await;
        let mut copy = node(77, shown(7, 100));
        copy.starts = 10;
        let refused = peers.meet(copy, "b:1").await.expect_err("as often started");
        assert_eq!(refused.code(), tonic::Code::AlreadyExists);
        // A later start of an old copy has less on its disk.
        let behind = peers.meet(node(11, shown(7, 3)), "b:1").await;
        assert_eq!(behind.expect_err("behind").code(), tonic::Code::DataLoss);
        peers.admit(Some(&envelope(10))).expect("the original");
        assert_eq!(peers.address_of(2).as_deref(), Some("a:1"));
    }

    #[tokio::test]
    async fn a_node_that_moved_is_met_though_its_old_address_swallows_everything() {
        let peers = peers();
        // Connections are taken by the system, and nobody ever answers.
        let black_hole = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let old = black_hole.local_addr().expect("an address").to_string();
        peers.meet(node(10, shown(7, 0)), &old).await.expect("new");
        // The caller waits no longer than this for its handshake.
        let moved = peers.meet(node(11, shown(7, 0)), "b:1");
        let met = tokio::time::timeout(DIAL_TIMEOUT, moved).await;
        met.expect("in time").expect("it has moved");
        assert_eq!(peers.address_of(2).as_deref(), Some("b:1"));
    }

    #[tokio::test]
    async fn an_answer_that_comes_after_the_restart_is_demanded_too() {
        let peers = acknowledged().await;
        let met = peers.meet(node(11, shown(7, 100)), "a:1").await;
        met.expect("it holds all that is known");
        let late = Progress {
            vote_term: 7,
            last_index: 120,
        };
        peers.note_acknowledged(2, 10, late);
        assert!(peers.admit(Some(&envelope(11))).is_err());
        let refused = peers.meet(node(11, shown(7, 110)), "a:1").await;
        assert_eq!(refused.expect_err("behind").code(), tonic::Code::DataLoss);
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
    async fn a_handshake_that_comes_after_the_next_start_raises_no_alarm() {
        let peers = acknowledged().await;
        let now_runs = process(11).await;
        let met = peers.meet(node(11, shown(7, 100)), &now_runs).await;
        met.expect("restarted");
        // Where it was, its next start answers now; elsewhere nobody does.
        for address in [now_runs.as_str(), "127.0.0.1:1"] {
            let late = peers.meet(node(10, shown(7, 100)), address).await;
            assert_eq!(late.expect_err("over").code(), tonic::Code::AlreadyExists);
        }
        assert_eq!(peers.said_of(2), None);
        peers.admit(Some(&envelope(11))).expect("the present one");
    }

    #[tokio::test]
    async fn an_earlier_start_that_still_runs_beside_a_later_one_is_reported() {
        let peers = acknowledged().await;
        let (old, new) = (process(10).await, process(11).await);
        peers
            .meet(node(11, shown(7, 100)), &new)
            .await
            .expect("it is the later start");
        // It is refused each time; a machine that is busy may miss that it is there.
        let reported = async {
            loop {
                let ghost = peers.meet(node(10, shown(7, 100)), &old).await;
                assert_eq!(
                    ghost.expect_err("a ghost").code(),
                    tonic::Code::AlreadyExists
                );
                if let Some(text) = peers.said_of(2) {
                    return text;
                }
            }
        };
        let text = tokio::time::timeout(Duration::from_secs(30), reported).await;
        let text = text.expect("it is reported");
        assert!(text.contains("two processes run with node id"), "{text}");
    }

    /// A process of node 2 that answers handshakes; where.
    async fn process(incarnation: u64) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let service = pb::cluster_server::ClusterServer::new(Process { incarnation });
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(incoming));
        address
    }

    struct Process {
        incarnation: u64,
    }

    type Answer<T> = Result<tonic::Response<T>, Status>;

    #[tonic::async_trait]
    impl pb::cluster_server::Cluster for Process {
        async fn handshake(
            &self,
            _: tonic::Request<pb::HandshakeRequest>,
        ) -> Answer<pb::HandshakeResponse> {
            Ok(tonic::Response::new(pb::HandshakeResponse {
                node_id: 2,
                incarnation: self.incarnation,
                starts: self.incarnation,
                protocol: PROTOCOL,
                ..pb::HandshakeResponse::default()
            }))
        }

        async fn formation(
            &self,
            _: tonic::Request<pb::FormationMessage>,
        ) -> Answer<pb::FormationMessage> {
            Err(Status::unimplemented("not asked here"))
        }

        async fn join(&self, _: tonic::Request<pb::JoinRequest>) -> Answer<pb::JoinResponse> {
            Err(Status::unimplemented("not asked here"))
        }

        async fn remove(&self, _: tonic::Request<pb::RemoveRequest>) -> Answer<pb::RemoveResponse> {
            Err(Status::unimplemented("not asked here"))
        }

        async fn status(&self, _: tonic::Request<pb::StatusRequest>) -> Answer<pb::StatusResponse> {
            Err(Status::unimplemented("not asked here"))
        }
    }

    #[tokio::test]
    async fn a_build_of_another_kind_is_let_in_and_reported() {
        let peers = peers();
        let said = |peers: &Peers| peers.said_of(2);
        for (build, is_news) in [(None, false), (Some(false), false), (Some(true), true)] {
            let mut other = node(10, shown(7, 0));
            other.is_checked = build;
            peers.meet(other, "a:1").await.expect("let in");
            assert_eq!(said(&peers).is_some(), is_news, "{build:?}");
        }
        let text = said(&peers).expect("reported");
        assert!(text.contains("one profile"), "{text}");
    }

    #[tokio::test]
    async fn strangers_neither_fill_the_memory_nor_push_members_out() {
        let peers = acknowledged().await;
        peers.set_members([1, 2].into_iter());
        for id in 3..2000 {
            let mut who = node(1, None);
            who.node_id = id;
            peers.meet(who, "a:1").await.expect("new");
        }
        assert!(locked(&peers.known).len() <= 256);
        peers.admit(Some(&envelope(10))).expect("a member");
    }
}
