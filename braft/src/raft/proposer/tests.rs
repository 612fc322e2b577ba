//! A lone command that finds raft's queue full, and entries that wait for more to carry.

use std::path::Path;
use std::sync::mpsc as std_mpsc;

use tokio::sync::oneshot;

use super::*;
use crate::machine::{Machine, Watch};
use crate::member::NodeInfo;
use crate::net::Dialer;
use crate::raft::log_storage::LogStore;
use crate::raft::network::{Identity, Network, Peers};
use crate::storage::fs::faults::FaultFs;
use crate::storage::snapshot::SnapshotStore;
use crate::storage::wal::{Wal, WalOptions};

/// Messages that wait for raft: far fewer than anywhere else, or it would never be full.
const RAFT_QUEUE: u64 = 4;

/// A node alone, which leads.
async fn leading() -> (Raft, Proposer) {
    leading_on(Arc::default()).await
}

/// The same, on a disk.
async fn leading_on(fs: Arc<FaultFs>) -> (Raft, Proposer) {
    let options = WalOptions {
        segment_bytes: 64 << 10,
        ..WalOptions::default()
    };
    let wal = Wal::open(fs.clone(), Path::new("/log"), options).expect("an empty log opens");
    let snapshots = SnapshotStore::open(fs, Path::new("/snapshots")).expect("no snapshots open");
    let machine = Machine::new(Vec::new(), Watch::default()).expect("no service clashes");
    let machine = StateMachine::new(machine, snapshots, wal.clone(), 1, 1);
    let me = Identity {
        node_id: 1,
        ..Identity::default()
    };
    let peers = Arc::new(Peers::new(me, Dialer::default(), Some(1)));
    let lone = LoneEntry::of(&tokio::runtime::Handle::current());
    let config = openraft::Config {
        api_channel_size: Some(RAFT_QUEUE),
        ..openraft::Config::default()
    };
    let network = Network {
        peers: peers.clone(),
        acks: Arc::default(),
        holds: Arc::default(),
        given: Arc::default(),
        streams: Arc::default(),
        quarantine: machine.watch_quarantine(),
    };
    let log = LogStore::new(wal, lone.clone());
    let raft = Raft::new(1, Arc::new(config), network, log, machine.clone())
        .await
        .expect("raft starts");
    let alone = BTreeMap::from([(1, NodeInfo::default())]);
    raft.initialize(alone).await.expect("initializes");
    raft.wait(None)
        .state(openraft::ServerState::Leader, "leads")
        .await
        .expect("leads");
    let time = Timekeeper::new(raft.clone(), machine.clone(), peers);
    let (_, in_touch) = watch::channel(true);
    let proposer = Proposer::start(raft.clone(), machine, in_touch, lone, time);
    (raft, proposer)
}

/// Opens a session; what comes back.
fn open_session(proposer: &Proposer) -> oneshot::Receiver<Reply> {
    let (reply, answer) = oneshot::channel();
    proposer.propose(Proposal {
        item: Item::OpenSession,
        deadline: Instant::now() + Duration::from_secs(60),
        reply: ReplyTo::Task(reply),
    });
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lone_command_that_finds_raft_full_is_lost_and_leaves_nothing_behind() {
    let (raft, proposer) = leading().await;
    let first = open_session(&proposer).await.expect("is answered");
    first.result.expect("is opened");
    let line = &proposer.line;
    assert!(line.was_lone.load(Ordering::Relaxed));
    // Its caller has the answer a moment before its entry is no longer under way.
    while line.in_flight.available_permits() < MAX_ENTRIES_IN_FLIGHT {
        tokio::task::yield_now().await;
    }

    // Raft is held up, and its queue is filled.
    let (begun, has_begun) = oneshot::channel();
    let (go_on, goes_on) = std_mpsc::channel::<()>();
    let hold = move |_: &_| {
        begun.send(()).expect("the test waits");
        goes_on.recv().expect_err("it is dropped");
    };
    raft.external_request(hold).await.expect("raft runs");
    has_begun.await.expect("raft is held up");
    while let Some(sent) = unconstrained(raft.external_request(|_| ())).now_or_never() {
        sent.expect("raft runs");
    }

    let answer = open_session(&proposer).now_or_never();
    let refusal = answer.expect("nobody waits for raft").err();
    assert!(
        refusal.is_some(),
        "the attempt is dropped, which tells that it is lost"
    );
    assert_eq!(line.load.under_way(), (0, 0));
    assert_eq!(line.in_flight.available_permits(), MAX_ENTRIES_IN_FLIGHT);
    assert_eq!(line.sent.under_way(), (0, 0));

    drop(go_on);
    // Once this is answered, so is all that was before it.
    raft.with_raft_state(|_| ()).await.expect("raft runs");
    let next = open_session(&proposer).await.expect("is answered");
    next.result.expect("is opened");
    assert_eq!(
        next.index,
        first.index + 1,
        "the lost one was not carried out"
    );
}

/// Waits until so many entries are under way, with so many items.
async fn under_way(proposer: &Proposer, wanted: (usize, usize)) {
    while proposer.line.sent.under_way() != wanted {
        tokio::task::yield_now().await;
    }
}

/// Lets the tasks of this thread do what they can.
async fn all_run() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

// On one thread the task that fills entries runs only while the test waits.
#[tokio::test]
async fn a_second_entry_goes_once_it_has_half_as_much_to_carry_or_the_first_is_done() {
    let fs: Arc<FaultFs> = Arc::default();
    let (_raft, proposer) = leading_on(fs.clone()).await;
    let open = |times: usize| -> Vec<_> { (0..times).map(|_| open_session(&proposer)).collect() };
    fs.hold_syncs(true);
    let mut answers = open(8);
    under_way(&proposer, (1, 8)).await;

    answers.extend(open(3));
    all_run().await;
    assert_eq!(proposer.line.sent.under_way(), (1, 8));
    answers.extend(open(1));
    under_way(&proposer, (2, 12)).await;
    // No third one goes, however much it has to carry.
    answers.extend(open(20));
    all_run().await;
    assert_eq!(proposer.line.sent.under_way(), (2, 12));

    fs.hold_syncs(false);
    let mut indices = Vec::new();
    for answer in answers {
        let reply = answer.await.expect("is answered");
        reply.result.expect("is opened");
        indices.push(reply.index);
    }
    let first = indices[0];
    let expected = [[first; 8].as_slice(), &[first + 1; 4], &[first + 2; 20]].concat();
    assert_eq!(indices, expected);

    // A few that come while another entry is under way go once it is done, without more to come.
    fs.hold_syncs(true);
    let before = open(8);
    under_way(&proposer, (1, 8)).await;
    let few = open(3);
    all_run().await;
    assert_eq!(proposer.line.sent.under_way(), (1, 8));
    fs.hold_syncs(false);
    for answer in before.into_iter().chain(few) {
        let reply = answer.await.expect("is answered");
        reply.result.expect("is opened");
    }
}
