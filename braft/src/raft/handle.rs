//! One node's raft, seen from the floors above: plain types in, plain types out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use openraft::async_runtime::WatchReceiver;
use openraft::raft::Precondition;
use openraft::{ChangeMembers, ServerState, SnapshotPolicy};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Raft;
use super::lease::Lease;
use super::load::Load;
use super::log_storage::{LogStore, LoneEntry};
use super::network::{Given, Network, Peers, Progress, Streams, Timers};
use super::proposer::{Proposal, Proposer};
use super::reader::{self, Admitted, Confirmation, Read, Reader, answer};
use super::restart;
use super::state_machine::StateMachine;
use super::ticker::Ticker;
use super::timekeeper::Timekeeper;
use super::touch;
use super::types::{TypeConfig, log_id, members_of, plain};
use crate::entry::Item;
use crate::error::Error;
use crate::machine::Machine;
use crate::member::{NodeInfo, StoredMembers};
use crate::metrics::RaftFigures;
use crate::request::{Refusal, Reply, ReplyTo};
use crate::storage::snapshot::{SnapshotFile, SnapshotStore};
use crate::storage::wal::Wal;
use crate::world;

/// Entries in one append message; its bytes are capped where entries are read.
const MAX_ENTRIES_PER_APPEND: u64 = 1024;
/// Commits waiting to be applied. openraft's core blocks when this is full, heartbeats included;
/// the leader stops taking commands long before.
const APPLY_QUEUE: u64 = 65_536;
/// Waits between attempts to reach a peer that is down.
const BACKOFF: &str = "20ms,50ms,100ms,200ms";
/// How often a changed view is looked at: it changes with every entry, and making one out of raft's
/// figures costs more than the entry.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(5);
/// openraft's own limit on sending one snapshot; progress is watched elsewhere.
const INSTALL_SNAPSHOT_TIMEOUT_MS: u64 = 3_600_000;
/// The longest an item of the cluster's own may take into the log.
const OWN_ITEM_TIMEOUT: Duration = Duration::from_secs(5);

/// How raft runs on this node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RaftOptions {
    pub(crate) timers: Timers,
    /// Log entries after which a snapshot is built.
    pub(crate) snapshot_every: u64,
    /// Log entries kept behind a snapshot for followers that lag.
    pub(crate) keep_log_entries: u64,
}

/// What a node is in its cluster at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Leader,
    Follower,
    Candidate,
    Learner,
    Stopped,
}

/// What raft says of itself, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct RaftView {
    pub(crate) role: Role,
    pub(crate) term: u64,
    pub(crate) leader: Option<u64>,
    pub(crate) last_log_index: Option<u64>,
    pub(crate) committed: Option<(u64, u64)>,
    pub(crate) applied: Option<(u64, u64)>,
    pub(crate) snapshot: Option<(u64, u64)>,
    pub(crate) purged: Option<(u64, u64)>,
    pub(crate) members: StoredMembers,
    /// On the leader: the index up to which each member's log is known to match.
    pub(crate) matched: Option<BTreeMap<u64, Option<u64>>>,
    /// On the leader: when each member last answered, and when a quorum last did.
    pub(crate) contact: BTreeMap<u64, Option<Instant>>,
    pub(crate) quorum_contact: Option<Instant>,
    /// Why raft stopped, once it has.
    pub(crate) stopped: Option<String>,
}

impl RaftView {
    pub(crate) fn leader_info(&self) -> Option<(u64, &NodeInfo)> {
        let leader = self.leader?;
        self.members
            .members
            .nodes
            .get(&leader)
            .map(|node| (leader, node))
    }
}

/// A change of the membership, one at a time.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Takes nodes in, or changes what is committed about them.
    SetNodes(BTreeMap<u64, NodeInfo>),
    /// Makes exactly these members vote. Voters that are not among them listen, or are removed.
    Voters {
        voters: BTreeSet<u64>,
        remove_others: bool,
    },
    /// Removes a member that does not vote.
    RemoveLearner(u64),
}

/// The handle on one node's raft. Cheap to clone.
#[derive(Clone)]
pub(crate) struct RaftNode {
    raft: Raft,
    machine: StateMachine,
    peers: Arc<Peers>,
    time: Timekeeper,
    proposer: Proposer,
    /// What the node's reads take up, of whatever level.
    reads: Arc<Load>,
    reader: Reader,
    lease_reader: Reader,
    lease: Lease,
    /// Whether a quorum answers this node while it leads.
    in_touch: watch::Receiver<bool>,
    /// Silence after which a leader is no longer heard.
    patience: Duration,
    /// Until when this voter keeps out of elections, having been restarted.
    silent_until: Option<Instant>,
    /// The log, for its figures and for the last word at shutdown.
    wal: Wal,
    /// Peers that are being given a snapshot.
    given: Arc<Given>,
    /// The streams of entries to peers.
    streams: Arc<Streams>,
}

impl RaftNode {
    /// Restores the state from snapshot and log, and takes part in the cluster.
    pub(crate) async fn start(
        options: RaftOptions,
        wal: Wal,
        machine: Machine,
        snapshots: SnapshotStore,
        peers: Arc<Peers>,
    ) -> Result<Self, Error> {
        let node_id = peers.me().node_id;
        let cluster_id = peers
            .cluster_id()
            .expect("a cluster is known before raft starts");
        let machine = StateMachine::new(machine, snapshots, wal.clone(), cluster_id, node_id);
        let now = Instant::now();
        let silent_until = restart::silent_until(wal.read_vote(), node_id, options.timers, now);
        let freezes_cheaply = machine.machine().freezes_cheaply();
        let config = openraft::Config {
            enable_elect: silent_until.is_none(),
            ..config(&options, cluster_id, freezes_cheaply)
        };
        let config = config.validate().map_err(|error| {
            Error::rejected(format!("the raft timers contradict each other: {error}"))
        })?;
        let (acks, given) = (Arc::default(), Arc::<Given>::default());
        let streams = Arc::<Streams>::default();
        let network = Network {
            peers: peers.clone(),
            acks: Arc::clone(&acks),
            holds: Arc::default(),
            given: Arc::clone(&given),
            streams: Arc::clone(&streams),
            quarantine: machine.watch_quarantine(),
        };
        let lone = LoneEntry::of(&tokio::runtime::Handle::current());
        let log = LogStore::new(wal.clone(), lone.clone());
        let raft = Raft::new(node_id, Arc::new(config), network, log, machine.clone())
            .await
            .map_err(|error| Error::fatal(format!("raft cannot start: {error}")))?;
        peers.set_progress(progress(wal.clone(), machine.clone()));
        if let Some(until) = silent_until {
            tracing::info!("restarted: keeps out of elections for the lease it may have granted");
            world::spawn(campaign_from(until, raft.clone(), machine.clone()));
        }
        let lease = Lease::start(&raft, acks, options.timers, node_id);
        let in_touch = touch::start(raft.clone(), options.timers);
        let time = Timekeeper::new(raft.clone(), machine.clone(), peers.clone());
        let proposer = Proposer::start(
            raft.clone(),
            machine.clone(),
            in_touch.clone(),
            lone,
            time.clone(),
        );
        let ticker = Ticker {
            raft: raft.clone(),
            machine: machine.clone(),
            time: time.clone(),
            proposer: proposer.clone(),
        };
        ticker.start(in_touch.clone());
        let confirmation = Confirmation {
            raft: raft.clone(),
            in_touch: in_touch.clone(),
            lease: None,
        };
        let by_lease = Confirmation {
            lease: Some(lease.clone()),
            ..confirmation.clone()
        };
        let reader = Reader::start(confirmation, machine.clone());
        let lease_reader = Reader::start(by_lease, machine.clone());
        Ok(RaftNode {
            raft,
            machine,
            peers,
            time,
            proposer,
            reads: reader::load(),
            reader,
            lease_reader,
            lease,
            in_touch,
            patience: touch::patience(options.timers),
            silent_until,
            wal,
            given,
            streams,
        })
    }

    pub(super) fn raft(&self) -> &Raft {
        &self.raft
    }

    /// Whether this voter was restarted so recently that it may have granted a lease before.
    pub(super) fn keeps_out_of_elections(&self) -> bool {
        self.silent_until
            .is_some_and(|until| Instant::now() < until)
    }

    pub(super) fn state_machine(&self) -> &StateMachine {
        &self.machine
    }

    pub(crate) fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    pub(crate) fn machine(&self) -> &Machine {
        self.machine.machine()
    }

    pub(crate) fn wal(&self) -> &Wal {
        &self.wal
    }

    /// Writes the first membership of a new cluster. Harmless where it was already written.
    pub(crate) async fn initialize(&self, members: BTreeMap<u64, NodeInfo>) -> Result<(), Error> {
        use openraft::errors::{InitializeError, RaftError};
        match self.raft.initialize(members).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(Error::fatal(format!(
                "the cluster cannot be initialized: {error}"
            ))),
        }
    }

    pub(crate) fn propose(&self, proposal: Proposal) {
        self.proposer.propose(proposal);
    }

    /// Whether a command with so much time to go is expected to be answered in time.
    pub(crate) fn expects_in_time(&self, left: Duration) -> bool {
        self.proposer.expects_in_time(left)
    }

    /// What this node has counted of its log and state.
    pub(crate) fn figures(&self) -> &RaftFigures {
        &self.machine.shared.figures
    }

    /// Commands that were taken in and not yet answered, and their bytes; the same of reads.
    pub(crate) fn under_way(&self) -> [(usize, usize); 2] {
        [self.proposer.under_way(), self.reads.under_way()]
    }

    /// Takes a read in, or refuses it as busy with nothing done.
    pub(crate) fn admit(&self, read: Read) -> Option<Admitted> {
        reader::admit(&self.reads, read)
    }

    /// Answers a query linearizably; on the leader only.
    pub(crate) fn read(&self, read: Admitted) {
        self.reader.read(read);
    }

    /// Answers a query linearizably, by the lease if it is held; on the leader only.
    pub(crate) fn read_by_lease(&self, read: Admitted) {
        self.lease_reader.read(read);
    }

    /// Says up to where a read that begins now has to see the log; on the leader only.
    pub(crate) fn read_index(&self, reply: ReplyTo) {
        self.reader.index(reply);
    }

    /// Answers queries from what is applied here, once that reaches `index`.
    pub(crate) fn read_at(&self, index: u64, reads: Vec<Admitted>) {
        let machine = self.machine.clone();
        world::spawn(async move { answer(&machine, index, reads).await });
    }

    /// Carries out one membership change, if the membership is still the one the change was
    /// decided on.
    pub(crate) async fn change(
        &self,
        change: Change,
        decided_on: Option<(u64, u64)>,
    ) -> Result<(), Error> {
        let (members, retain) = match change {
            Change::SetNodes(nodes) => {
                let set = [
                    ChangeMembers::AddNodes(nodes.clone()),
                    ChangeMembers::SetNodes(nodes),
                ];
                (ChangeMembers::Batch(set.into()), true)
            }
            Change::Voters {
                voters,
                remove_others,
            } => (ChangeMembers::ReplaceAllVoters(voters), !remove_others),
            Change::RemoveLearner(id) => (ChangeMembers::RemoveNodes([id].into()), true),
        };
        let last_membership_log_id = decided_on.map(|(term, index)| log_id(term, index));
        let only_if = Precondition::<TypeConfig>::LastMembershipLogId {
            last_membership_log_id,
        };
        let changed = self
            .raft
            .change_membership_if(members, retain, [only_if])
            .await;
        changed
            .map(drop)
            .map_err(|error| Error::unavailable(format!("the membership was not changed: {error}")))
    }

    /// Puts an item of the cluster's own into the log, and waits until it is applied.
    pub(crate) async fn propose_own(&self, item: Item) -> Result<(), Error> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.propose(Proposal {
            item,
            deadline: Instant::now() + OWN_ITEM_TIMEOUT,
            reply: ReplyTo::Task(reply),
        });
        match answer.await {
            Ok(Reply { result: Ok(_), .. }) => Ok(()),
            Ok(Reply {
                result: Err(refusal),
                ..
            }) => Err(Error::unavailable(refusal.message)),
            Err(_) => Err(Error::unavailable("raft is stopping")),
        }
    }

    /// Asks a voter to take over the leadership. The leader's token ends first, for the rest of the
    /// term.
    pub(crate) async fn transfer_leader(&self, to: u64) -> Result<(), Error> {
        let (raft, lease) = (self.raft.clone(), self.lease.clone());
        // A task of its own: whoever waits here may give up, and the term has to be noted all the
        // same.
        let asking = world::spawn(async move {
            lease
                .hand_over(async {
                    raft.trigger().transfer_leader(to).await?;
                    // Looked at after the request by the same queue: the term it was made in, or a
                    // later one.
                    raft.with_raft_state(|state| state.vote_ref().leader_id.term)
                        .await
                })
                .await
        });
        let asked = asking
            .await
            .map_err(|error| Error::unavailable(format!("no transfer of leadership: {error}")))?;
        asked.map_err(|error| Error::unavailable(format!("no transfer of leadership: {error}")))
    }

    /// On the leader: what is wrong with the wall clocks of the voters, if anything.
    pub(crate) fn clock_complaint(&self) -> Option<String> {
        if self.is_leader() {
            self.time.complaint()
        } else {
            None
        }
    }

    /// This node's id.
    pub(crate) fn id(&self) -> u64 {
        self.peers.me().node_id
    }

    /// Asks for a snapshot of the state as it stands.
    pub(crate) async fn snapshot(&self) -> Result<(), Error> {
        let asked = self.raft.trigger().snapshot().await;
        asked.map_err(|error| Error::fatal(format!("no snapshot can be built: {error}")))
    }

    /// Purges the log up to an index, as far as a snapshot holds it and no append is under way that needs
    /// it; that part goes later.
    pub(crate) async fn purge(&self, upto: u64) -> Result<(), Error> {
        let asked = self.raft.trigger().purge_log(upto).await;
        asked.map_err(|error| Error::fatal(format!("the log cannot be purged: {error}")))
    }

    /// Purges the log up to an index also if it is on its way to these peers, which are to have a snapshot
    /// then; they have it up to `from`. False if raft does not know yet of a snapshot that holds more: they
    /// would be sent the log again.
    pub(crate) async fn purge_from(
        &self,
        peers: &BTreeSet<u64>,
        from: u64,
        upto: u64,
    ) -> Result<bool, Error> {
        let stopped = |error| Error::fatal(format!("the log cannot be purged: {error}"));
        let known = self
            .raft
            .with_raft_state(|state| state.snapshot_meta.last_log_id.map(|id| id.index));
        let upto = upto.min(known.await.map_err(stopped)?.unwrap_or(0));
        if upto <= from {
            return Ok(false);
        }
        self.purge(upto).await?;
        // Answered once raft has taken in what it was asked for: when a stream ends, it sends a snapshot to
        // who lacks what is to be purged, and purges as soon as nobody is in the way.
        self.raft.with_raft_state(|_| ()).await.map_err(stopped)?;
        for peer in peers {
            self.streams.end(*peer);
        }
        Ok(true)
    }

    /// The peers to which a stream of entries has gone on for so long.
    pub(crate) fn streams_older_than(&self, age: Duration) -> BTreeSet<u64> {
        self.streams.older_than(age)
    }

    /// Tells of snapshots as raft has written them; ends once it has stopped.
    pub(crate) fn watch_snapshots(&self) -> BoxStream<'static, ()> {
        let written = self.raft.watch_snapshot_progress();
        let told = stream::unfold(written, |mut written| async move {
            written.changed().await.ok()?;
            Some(((), written))
        });
        told.boxed()
    }

    /// The peers that are being given a snapshot, and the last log index in it.
    pub(crate) fn given(&self) -> BTreeMap<u64, u64> {
        self.given.indexes()
    }

    /// The newest snapshot; it can be read even after a later one has taken its place.
    pub(crate) fn newest_snapshot(&self) -> Option<SnapshotFile> {
        self.machine.snapshots().current()
    }

    /// The size of the newest snapshot file, in bytes; 0 without one.
    pub(crate) fn snapshot_bytes(&self) -> u64 {
        self.machine
            .snapshots()
            .current()
            .map_or(0, |file| file.bytes)
    }

    /// Confirms leadership with a quorum, and says up to which index the log is committed.
    pub(crate) async fn confirm_leadership(&self) -> Result<u64, Error> {
        let read = self
            .raft
            .get_read_log_id(openraft::ReadPolicy::ReadIndex)
            .await;
        match read {
            Ok((read, _)) => Ok(read.index()),
            Err(error) => Err(Error::unavailable(format!(
                "leadership not confirmed: {error}"
            ))),
        }
    }

    /// The index of the last applied entry, as it moves.
    pub(crate) fn watch_applied(&self) -> watch::Receiver<u64> {
        self.machine.watch_applied()
    }

    /// The index of the last applied entry that emitted an event, as it moves.
    pub(crate) fn watch_emitted(&self) -> watch::Receiver<u64> {
        self.machine.watch_emitted()
    }

    /// Whether this node learns what the cluster commits: it leads and a quorum answers, or it has
    /// heard a leader lately.
    pub(crate) fn is_in_touch(&self) -> bool {
        if self.is_leader() {
            *self.in_touch.borrow()
        } else {
            self.peers.leader_heard_within(self.patience)
        }
    }

    /// Why this node cannot go on and has to stop, once that is so.
    pub(crate) fn watch_stopped(&self) -> watch::Receiver<Option<String>> {
        self.machine.watch_stopped()
    }

    /// Whether this node stands for election: not while it has diverged.
    pub(crate) fn stand_for_election(&self, stands: bool) {
        if !stands || !self.keeps_out_of_elections() {
            self.raft.runtime_config().elect(stands);
        }
    }

    /// How this replica differs from the majority, if it does.
    pub(crate) fn quarantine(&self) -> Option<String> {
        self.machine.watch_quarantine().borrow().clone()
    }

    /// The same, as it changes.
    pub(crate) fn watch_quarantine(&self) -> watch::Receiver<Option<String>> {
        self.machine.watch_quarantine()
    }

    /// What callers are told while this node serves nothing.
    pub(crate) fn out_of_service(&self) -> Option<Refusal> {
        self.machine.out_of_service()
    }

    /// Why this node carries out nothing any more while its log goes on, if that is so.
    pub(crate) fn halted(&self) -> Option<String> {
        self.machine.watch_halted().borrow().clone()
    }

    /// The index of the last applied entry.
    pub(crate) fn applied_index(&self) -> u64 {
        *self.machine.watch_applied().borrow()
    }

    /// Why this node carries out nothing any more while its log goes on, once that is so.
    pub(crate) fn watch_halted(&self) -> watch::Receiver<Option<String>> {
        self.machine.watch_halted()
    }

    /// The right to do what only the leader does.
    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The term this node is in.
    pub(crate) fn term(&self) -> u64 {
        self.raft.metrics().borrow_watched().current_term
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.raft.is_leader()
    }

    pub(crate) fn view(&self) -> RaftView {
        // Raft does not tell of a snapshot that it was given.
        let snapshot = self.newest_snapshot();
        RaftView {
            snapshot: snapshot.map(|file| (file.last.term, file.last.index)),
            ..view(&self.raft.metrics().borrow_watched())
        }
    }

    /// Waits until the view fulfils a condition, and returns that view. `None` if raft stopped
    /// and its view moves no more. Its snapshot is the last one that this node wrote.
    pub(crate) async fn wait_for(&self, holds: impl Fn(&RaftView) -> bool) -> Option<RaftView> {
        self.look(|metrics| Some(view(metrics)).filter(&holds))
            .await
    }

    /// Whether raft goes on, once it has taken in all that came before this question. One that does not
    /// says why in its view, a moment later.
    #[cfg(feature = "testing")]
    pub(crate) async fn goes_on(&self) -> bool {
        self.wal.failed().is_none() && self.raft.with_raft_state(|_| ()).await.is_ok()
    }

    /// Waits until a member is known to lead in a term after `last`, and returns that view. `None` if
    /// raft stopped.
    pub(crate) async fn leader_after(&self, last: u64) -> Option<RaftView> {
        self.look(|metrics| {
            // Most looks find nothing new, and make no view.
            let is_news = metrics.current_term > last && metrics.current_leader.is_some();
            let view = is_news.then(|| view(metrics))?;
            view.leader_info().is_some().then_some(view)
        })
        .await
    }

    /// Looks at raft's figures as they change until there is something to see; `None` if raft stopped.
    async fn look<T>(
        &self,
        see: impl Fn(&openraft::RaftMetrics<TypeConfig>) -> Option<T>,
    ) -> Option<T> {
        let mut metrics = self.raft.metrics();
        loop {
            if let Some(seen) = see(&metrics.borrow_watched()) {
                return Some(seen);
            }
            tokio::time::sleep(LOOK_EVERY).await;
            metrics.changed().await.ok()?;
        }
    }

    /// Stops raft, then closes the log: what was acknowledged is on disk.
    pub(crate) async fn shutdown(&self) {
        self.lease.close();
        if let Err(error) = self.raft.shutdown().await {
            tracing::debug!(%error, "raft had already stopped");
        }
        let (machine, wal) = (self.machine.clone(), self.wal.clone());
        let close = move || {
            machine.close();
            wal.close();
        };
        let closed = crate::world::blocking(close).await;
        if let Err(error) = closed {
            tracing::error!(%error, "the log was not closed cleanly; it will be checked at start");
        }
    }
}

/// Reads how far this node's disk reaches. What a snapshot holds counts: the log before it may be
/// gone, or not have been cut yet when the node crashed.
fn progress(wal: Wal, machine: StateMachine) -> impl Fn() -> Progress + Send + Sync {
    let applied = machine.watch_applied();
    move || {
        let state = wal.state();
        let index = |id: Option<crate::storage::wal::LogId>| id.map_or(0, |id| id.index);
        Progress {
            vote_term: wal.read_vote().map_or(0, |vote| vote.term),
            last_index: index(state.last)
                .max(index(state.last_purged))
                .max(*applied.borrow()),
        }
    }
}

/// Lets a voter campaign once it need not keep out of elections any longer.
async fn campaign_from(moment: Instant, raft: Raft, machine: StateMachine) {
    let mut metrics = raft.metrics();
    let stopped = async { while metrics.changed().await.is_ok() {} };
    tokio::select! {
        () = tokio::time::sleep_until(moment) => {
            raft.runtime_config().elect(!machine.is_quarantined());
        }
        () = stopped => {}
    }
}

fn config(options: &RaftOptions, cluster_id: u128, freezes_cheaply: bool) -> openraft::Config {
    let timers = options.timers;
    openraft::Config {
        cluster_name: format!("{cluster_id:032x}"),
        heartbeat_interval: u64::from(timers.heartbeat_ms),
        election_timeout_min: u64::from(timers.election_min_ms),
        election_timeout_max: u64::from(timers.election_max_ms),
        install_snapshot_timeout: INSTALL_SNAPSHOT_TIMEOUT_MS,
        max_payload_entries: MAX_ENTRIES_PER_APPEND,
        // A follower that lags further than the log reaches back gets the snapshot instead.
        replication_lag_threshold: options.snapshot_every.saturating_mul(2)
            + options.keep_log_entries,
        // One that holds up commands is asked for from above, where it is known whom.
        snapshot_policy: if freezes_cheaply {
            SnapshotPolicy::LogsSinceLast(options.snapshot_every)
        } else {
            SnapshotPolicy::Never
        },
        // The log is purged from above, where it is known who needs it.
        max_in_snapshot_log_to_keep: u64::MAX,
        state_machine_channel_size: Some(APPLY_QUEUE),
        enable_pre_vote: Some(true),
        // The lease of the leader's token counts answers to heartbeats alone.
        heartbeat_min_interval: Some(0),
        // A restored leader would serve before it knows what was committed.
        enable_leader_restore: Some(false),
        backoff: BACKOFF.to_owned(),
        ..openraft::Config::default()
    }
}

pub(super) fn view(metrics: &openraft::RaftMetrics<TypeConfig>) -> RaftView {
    let membership = &metrics.membership_config;
    RaftView {
        role: match metrics.state {
            ServerState::Leader => Role::Leader,
            ServerState::Follower => Role::Follower,
            ServerState::Candidate => Role::Candidate,
            ServerState::Learner => Role::Learner,
            ServerState::Shutdown => Role::Stopped,
        },
        term: metrics.current_term,
        leader: metrics.current_leader,
        last_log_index: metrics.last_log_index,
        committed: metrics.local_committed.as_ref().map(plain),
        applied: metrics.last_applied.as_ref().map(plain),
        snapshot: metrics.snapshot.as_ref().map(plain),
        purged: metrics.purged.as_ref().map(plain),
        members: StoredMembers {
            log_id: membership.log_id().as_ref().map(plain),
            members: members_of(membership.membership()),
        },
        matched: metrics.replication.as_ref().map(|all| {
            all.iter()
                .map(|(id, matched)| (*id, matched.as_ref().map(|id| id.index)))
                .collect()
        }),
        contact: metrics
            .heartbeat
            .iter()
            .flatten()
            .map(|(id, at)| (*id, at.map(std_time)))
            .collect(),
        quorum_contact: metrics.last_quorum_acked.map(std_time),
        stopped: metrics
            .running_state
            .as_ref()
            .err()
            .map(ToString::to_string),
    }
}

fn std_time(at: openraft::type_config::alias::SerdeInstantOf<TypeConfig>) -> Instant {
    use openraft::Instant as _;
    let now = Instant::now();
    now.checked_sub(at.elapsed()).unwrap_or(now)
}
