//! Callers against a made-up node, in process and over loopback gRPC.

mod overload;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use super::caller::{Caller, PATIENCE};
use super::connect::connect;
use super::link::{ClusterPin, Link};
use crate::call::{Operation, ReadLevel, Request, Transport};
use crate::error::{Error, ErrorKind, Outcome};
use crate::event::{EventSource, Since, refused};
use crate::net::Dialer;
use crate::request::{
    Action, Gateway, Incoming, LeaderNews, MAX_ANSWER_BYTES, MAX_COMMAND_BYTES, Refusal, Reply,
    ReplyTo, SESSION_WINDOW,
};
use crate::server::calls::Calls;
use crate::wire::v1;

/// A node whose behaviour is a function. Sessions get the ids 1, 2, ….
struct Fake {
    cluster_id: u128,
    sessions: AtomicUsize,
    leader: watch::Sender<Option<LeaderNews>>,
    behave: Box<dyn Fn(Incoming) + Send + Sync>,
}

impl Fake {
    fn new(cluster_id: u128, behave: impl Fn(Incoming) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Fake {
            cluster_id,
            sessions: AtomicUsize::new(0),
            leader: watch::Sender::default(),
            behave: Box::new(behave),
        })
    }

    fn opened(&self) -> usize {
        self.sessions.load(Ordering::SeqCst)
    }
}

impl Gateway for Fake {
    fn submit(&self, calls: Vec<Incoming>) {
        for call in calls {
            match call.action {
                Action::OpenSession => {
                    let id = self.sessions.fetch_add(1, Ordering::SeqCst) as u64 + 1;
                    answer(call, id.to_le_bytes().to_vec().into());
                }
                Action::CloseSession { .. } => answer(call, Bytes::new()),
                _ => (self.behave)(call),
            }
        }
    }

    fn events(&self, _: &str, _: Since) -> EventSource {
        refused(Refusal::not_here("no events here", None))
    }

    fn cluster_id(&self) -> Option<u128> {
        Some(self.cluster_id)
    }

    fn watch_leader(&self) -> watch::Receiver<Option<LeaderNews>> {
        self.leader.subscribe()
    }
}

fn answer(call: Incoming, bytes: Bytes) {
    call.reply.send(Reply {
        index: 1,
        result: Ok(bytes),
    });
}

fn echo(call: Incoming) {
    let payload = call.payload.clone();
    answer(call, payload);
}

/// A fake behind a real port, with a runtime of its own so that it can die at once.
struct Node {
    address: String,
    stop: CancellationToken,
    runtime: Option<Runtime>,
}

impl Node {
    fn start(fake: Arc<Fake>) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stop = CancellationToken::new();
        let calls = Calls::service(fake, stop.clone(), 64);
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            Server::builder()
                .add_service(calls)
                .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
                .await
        });
        Node {
            address,
            stop,
            runtime: Some(runtime),
        }
    }

    fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

fn request(operation: Operation, payload: impl Into<Bytes>) -> Request {
    Request {
        service: "fake",
        operation,
        payload: payload.into(),
        key: None,
        deadline: None,
        place: None,
    }
}

async fn command(caller: &Caller, payload: impl Into<Bytes>) -> Result<Bytes, Error> {
    caller
        .send(request(Operation::Command { fence: None }, payload))
        .await
}

async fn query(caller: &Caller, payload: impl Into<Bytes>) -> Result<Bytes, Error> {
    let operation = Operation::Query(ReadLevel::Linearizable);
    caller.send(request(operation, payload)).await
}

fn number(number: u64) -> Bytes {
    number.to_le_bytes().to_vec().into()
}

/// A call put straight on a link.
fn incoming(payload: impl Into<Bytes>) -> (Incoming, oneshot::Receiver<Reply>) {
    let (reply, answer) = oneshot::channel();
    let call = Incoming {
        service: "fake".into(),
        action: Action::Command {
            session: 1,
            sequence: 1,
            responded_to: 0,
            fence: None,
        },
        payload: payload.into(),
        key: None,
        deadline: Instant::now() + Duration::from_secs(30),
        forwarded: true,
        trace: None,
        reply: ReplyTo::Task(reply),
    };
    (call, answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_calls_are_answered_out_of_order() {
    const GROUP: usize = 100;
    let held = Mutex::new(Vec::new());
    let node = Node::start(Fake::new(7, move |call| {
        let mut held = held.lock().unwrap();
        held.push(call);
        if held.len() == GROUP {
            held.drain(..).rev().for_each(echo);
        }
    }));
    let caller = connect(vec![node.address.clone()], Dialer::default())
        .await
        .unwrap();
    let calls = (0..50 * GROUP as u64).map(|n| {
        let caller = &caller;
        async move { (n, query(caller, number(n)).await.unwrap()) }
    });
    for (n, answer) in join_all(calls).await {
        assert_eq!(answer, number(n));
    }
}

#[tokio::test]
async fn concurrent_commands_share_one_session_and_stay_in_its_window() {
    let fake = Fake::new(7, |call| {
        let Action::Command {
            session,
            sequence,
            responded_to,
            ..
        } = call.action
        else {
            panic!("only commands are sent");
        };
        assert_eq!(session, 1);
        assert!(responded_to < sequence && sequence <= responded_to + SESSION_WINDOW);
        echo(call);
    });
    let node = Node::start(Arc::clone(&fake));
    let caller = connect(vec![node.address.clone()], Dialer::default())
        .await
        .unwrap();
    let calls = (0..3 * SESSION_WINDOW).map(|n| {
        let caller = &caller;
        async move { assert_eq!(command(caller, number(n)).await.unwrap(), number(n)) }
    });
    join_all(calls).await;
    assert_eq!(fake.opened(), 1);
}

#[tokio::test]
async fn a_broken_stream_loses_what_was_sent_and_nothing_else() {
    let (seen, mut arrived) = mpsc::unbounded_channel();
    let mut node = Node::start(Fake::new(7, move |call| seen.send(call).unwrap()));
    let link = Link::open(
        node.address.as_str().into(),
        ClusterPin::default(),
        Dialer::default(),
        Arc::default(),
    );
    let (calls, answers): (Vec<_>, Vec<_>) = (0..3).map(|n| incoming(number(n))).unzip();
    link.forward(calls);
    let mut under_way = Vec::new();
    for _ in 0..3 {
        under_way.push(arrived.recv().await.unwrap());
    }
    assert!(under_way.iter().all(|call| call.forwarded));
    node.kill();
    for answer in answers {
        let refusal = answer.await.unwrap().result.unwrap_err();
        assert_eq!(refusal.outcome, Outcome::Unknown);
        assert!(!refusal.retry);
    }

    let (call, answer) = incoming(number(4));
    link.submit(call);
    let refusal = answer.await.unwrap().result.unwrap_err();
    assert_eq!(refusal.outcome, Outcome::NotApplied);
    assert!(refusal.retry);
}

#[tokio::test]
async fn a_call_to_a_node_that_is_down_did_not_happen() {
    let mut node = Node::start(Fake::new(7, echo));
    node.kill();
    let link = Link::open(
        node.address.as_str().into(),
        ClusterPin::default(),
        Dialer::default(),
        Arc::default(),
    );
    let (call, answer) = incoming(number(1));
    link.submit(call);
    let refusal = answer.await.unwrap().result.unwrap_err();
    assert_eq!(refusal.outcome, Outcome::NotApplied);
}

#[tokio::test]
async fn a_call_dropped_by_the_node_is_lost_and_the_stream_goes_on() {
    let node = Node::start(Fake::new(7, |call| {
        if !call.payload.is_empty() {
            echo(call);
        }
    }));
    let link = Link::open(
        node.address.as_str().into(),
        ClusterPin::default(),
        Dialer::default(),
        Arc::default(),
    );
    let (dropped, lost) = incoming(Bytes::new());
    let (kept, answered) = incoming(number(1));
    link.forward(vec![dropped, kept]);
    let refusal = lost.await.unwrap().result.unwrap_err();
    assert_eq!(refusal.outcome, Outcome::Unknown);
    assert_eq!(answered.await.unwrap().result.unwrap(), number(1));
}

#[tokio::test]
async fn a_call_waits_for_a_leader_to_appear() {
    let refusals = AtomicUsize::new(0);
    let caller = Caller::local(Fake::new(7, move |call| {
        if refusals.fetch_add(1, Ordering::SeqCst) < 4 {
            call.reply.refuse(Refusal::not_here("no leader yet", None));
        } else {
            echo(call);
        }
    }));
    assert_eq!(command(&caller, number(1)).await.unwrap(), number(1));
}

#[tokio::test]
async fn follows_the_hint_to_the_leader_and_fails_over() {
    let leader = Node::start(Fake::new(7, echo));
    let hint = leader.address.clone();
    let follower = Node::start(Fake::new(7, move |call| {
        let refusal = Refusal::not_here("not the leader", Some(hint.clone()));
        call.reply.refuse(refusal);
    }));
    let caller = connect(vec![follower.address.clone()], Dialer::default())
        .await
        .unwrap();
    assert_eq!(query(&caller, number(1)).await.unwrap(), number(1));

    let mut dead = Node::start(Fake::new(7, echo));
    let addresses = vec![dead.address.clone(), leader.address.clone()];
    let caller = connect(addresses, Dialer::default()).await.unwrap();
    dead.kill();
    assert_eq!(query(&caller, number(2)).await.unwrap(), number(2));
}

/// A node that answers with its number, and counts.
fn numbered(n: u64) -> (Arc<Fake>, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let fake = Fake::new(7, move |call| {
        counted.fetch_add(1, Ordering::SeqCst);
        answer(call, number(n));
    });
    (fake, calls)
}

/// Asks until one of the numbered nodes answers.
async fn until_answered_by(caller: &Caller, n: u64) {
    while query(caller, number(0)).await.unwrap() != number(n) {
        tokio::task::yield_now().await;
    }
}

fn leads(term: u64, node: &Node) -> Option<LeaderNews> {
    Some(LeaderNews {
        term,
        address: Some(node.address.as_str().into()),
    })
}

#[tokio::test]
async fn calls_for_the_leader_go_there_themselves_once_a_node_has_said_who_leads() {
    let (first, second, third) = (numbered(1), numbered(2), numbered(3));
    let [a, b, c] = [&first, &second, &third].map(|(fake, _)| Node::start(fake.clone()));
    first.0.leader.send_replace(leads(5, &b));
    let caller = connect(vec![a.address.clone()], Dialer::default())
        .await
        .unwrap();
    until_answered_by(&caller, 2).await;
    // What any node may answer stays where it was.
    let sent = || request(Operation::Query(ReadLevel::Local), number(0));
    assert_eq!(caller.send(sent()).await.unwrap(), number(1));
    let before = first.1.load(Ordering::SeqCst);

    // The news of an older term is none; that of a newer one comes without a call.
    second.0.leader.send_replace(leads(4, &a));
    first.0.leader.send_replace(leads(6, &c));
    until_answered_by(&caller, 3).await;
    assert_eq!(command(&caller, number(0)).await.unwrap(), number(3));
    assert_eq!(first.1.load(Ordering::SeqCst), before);

    // One that leads says so itself.
    second.0.leader.send_replace(Some(LeaderNews {
        term: 7,
        address: None,
    }));
    until_answered_by(&caller, 2).await;
}

#[tokio::test]
async fn a_leader_out_of_reach_is_called_through_the_others() {
    let (fake, _) = numbered(1);
    let node = Node::start(fake.clone());
    let mut gone = Node::start(numbered(2).0);
    gone.kill();
    fake.leader.send_replace(leads(5, &gone));
    let caller = connect(vec![node.address.clone()], Dialer::default())
        .await
        .unwrap();
    for _ in 0..100 {
        assert_eq!(query(&caller, number(0)).await.unwrap(), number(1));
    }
}

#[tokio::test]
async fn a_node_that_another_has_succeeded_and_that_says_nothing_is_not_waited_for() {
    let (fake, _) = numbered(1);
    let (told, mut arrived) = mpsc::unbounded_channel();
    let silent = Fake::new(7, move |call| told.send(call).unwrap());
    let (node, silent_node) = (Node::start(fake.clone()), Node::start(silent));
    fake.leader.send_replace(leads(5, &silent_node));
    let caller = connect(vec![node.address.clone()], Dialer::default())
        .await
        .unwrap();
    // The way to it has to stand before calls go there.
    let asked = async {
        loop {
            let mut sent = request(Operation::Query(ReadLevel::Linearizable), number(0));
            sent.deadline = Some(Duration::from_millis(20));
            if caller.send(sent).await.is_err() {
                return command(&caller, number(0)).await;
            }
        }
    };
    let succeeded = async {
        let mut held = Vec::new();
        while let Some(call) = arrived.recv().await {
            let is_the_command = matches!(call.action, Action::Command { .. });
            held.push(call);
            if is_the_command {
                break;
            }
        }
        fake.leader.send_replace(Some(LeaderNews {
            term: 6,
            address: None,
        }));
        held
    };
    let (answered, _held) = tokio::join!(asked, succeeded);
    assert_eq!(answered.unwrap(), number(1));
}

#[tokio::test]
async fn a_long_query_on_its_way_through_another_node_is_waited_for() {
    let (leader, calls) = numbered(2);
    let leading = Node::start(leader);
    // Takes its time, as a follower does that passes a long query on.
    let slow = Fake::new(7, |call| {
        std::thread::spawn(|| {
            std::thread::sleep(3 * PATIENCE);
            answer(call, number(1));
        });
    });
    slow.leader.send_replace(leads(5, &leading));
    let node = Node::start(slow);
    let caller = connect(vec![node.address.clone()], Dialer::default())
        .await
        .unwrap();
    assert_eq!(query(&caller, number(0)).await.unwrap(), number(1));
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    assert_eq!(query(&caller, number(0)).await.unwrap(), number(2));
}

#[tokio::test]
async fn what_any_node_answers_is_waited_for_whatever_becomes_of_other_calls() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let slow = Fake::new(7, move |call| {
        let level = match call.action {
            Action::Query { level, .. } => level,
            _ => return echo(call),
        };
        if level == ReadLevel::Session {
            return call.reply.refuse(Refusal::not_here("not yet", None));
        }
        counted.fetch_add(1, Ordering::SeqCst);
        std::thread::spawn(|| {
            std::thread::sleep(3 * PATIENCE);
            echo(call);
        });
    });
    let node = Node::start(slow);
    let caller = connect(vec![node.address.clone()], Dialer::default())
        .await
        .unwrap();
    let local = caller.send(request(Operation::Query(ReadLevel::Local), number(1)));
    let mut refused = request(Operation::Query(ReadLevel::Session), number(2));
    refused.deadline = Some(2 * PATIENCE);
    let (local, refused) = tokio::join!(local, caller.send(refused));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(local.unwrap(), number(1));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_attempt_that_was_given_up_may_be_answered_all_the_same() {
    let (told, mut arrived) = mpsc::unbounded_channel();
    let old = Node::start(Fake::new(7, move |call| told.send(call).unwrap()));
    let (seen, mut again) = mpsc::unbounded_channel();
    let next = Fake::new(7, move |call| seen.send(call).unwrap());
    next.leader.send_replace(leads(5, &old));
    let next_node = Node::start(next.clone());
    let caller = connect(vec![next_node.address.clone()], Dialer::default())
        .await
        .unwrap();
    // Calls go to the old leader once the way there stands.
    let long = loop {
        let mut sent = request(Operation::Query(ReadLevel::Linearizable), number(1));
        sent.deadline = Some(Duration::from_secs(60));
        let mut asked = caller.send(sent);
        tokio::select! {
            _ = &mut asked => unreachable!("nobody answers"),
            _ = again.recv() => {}
            call = arrived.recv() => break (asked, call.unwrap()),
        }
    };
    let (asked, call) = long;
    let succeeded = async {
        next.leader.send_replace(Some(LeaderNews {
            term: 6,
            address: None,
        }));
        let held = again.recv().await.unwrap();
        answer(call, number(3));
        held
    };
    let (answered, _held) = tokio::join!(asked, succeeded);
    assert_eq!(answered.unwrap(), number(3));
}

#[tokio::test]
async fn a_refusal_after_a_lost_attempt_is_an_unknown_outcome() {
    let attempts = AtomicUsize::new(0);
    let caller = Caller::local(Fake::new(7, move |call| {
        if attempts.fetch_add(1, Ordering::SeqCst) > 0 {
            call.reply.refuse(Error::rejected("no such command"));
        }
    }));
    let error = command(&caller, number(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownOutcome);
    assert_eq!(error.outcome(), Outcome::Unknown);
}

#[tokio::test]
async fn a_lost_attempt_is_repeated_under_the_same_sequence() {
    let first = Mutex::new(None);
    let caller = Caller::local(Fake::new(7, move |call| {
        let mut first = first.lock().unwrap();
        if *first == Some(call.action) {
            echo(call);
        } else {
            assert!(first.replace(call.action).is_none());
        }
    }));
    assert_eq!(command(&caller, number(1)).await.unwrap(), number(1));
}

#[tokio::test]
async fn the_deadline_ends_a_call_that_nobody_answers() {
    let held = Mutex::new(Vec::new());
    let caller = Caller::local(Fake::new(7, move |call| held.lock().unwrap().push(call)));
    let mut sent = request(Operation::Command { fence: None }, number(1));
    sent.deadline = Some(Duration::from_millis(50));
    let error = caller.send(sent).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);

    let mut sent = request(Operation::Query(ReadLevel::Local), number(1));
    sent.deadline = Some(Duration::from_millis(50));
    let error = caller.send(sent).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

fn expired() -> Error {
    let message = "the session expired";
    Error::new(ErrorKind::SessionExpired, Outcome::NotApplied, message)
}

#[tokio::test]
async fn an_expired_session_is_reopened_for_a_command_that_had_no_effect() {
    let fake = Fake::new(7, |call| match call.action {
        Action::Command { session: 1, .. } => call.reply.refuse(expired()),
        _ => echo(call),
    });
    let caller = Caller::local(Arc::clone(&fake) as Arc<dyn Gateway>);
    assert_eq!(command(&caller, number(1)).await.unwrap(), number(1));
    assert_eq!(fake.opened(), 2);
}

#[tokio::test]
async fn an_expired_session_is_an_unknown_outcome_after_a_lost_attempt() {
    let attempts = AtomicUsize::new(0);
    let fake = Fake::new(7, move |call| {
        if attempts.fetch_add(1, Ordering::SeqCst) > 0 {
            call.reply.refuse(expired());
        }
    });
    let caller = Caller::local(Arc::clone(&fake) as Arc<dyn Gateway>);
    let error = command(&caller, number(1)).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(fake.opened(), 1);
}

#[tokio::test]
async fn a_stopping_node_answers_what_it_has_taken() {
    let (seen, mut arrived) = mpsc::unbounded_channel();
    let node = Node::start(Fake::new(7, move |call| seen.send(call).unwrap()));
    let link = Link::open(
        node.address.as_str().into(),
        ClusterPin::default(),
        Dialer::default(),
        Arc::default(),
    );
    let (call, reply) = incoming(number(1));
    link.submit(call);
    let taken = arrived.recv().await.unwrap();
    node.stop.cancel();
    echo(taken);
    assert_eq!(reply.await.unwrap().result.unwrap(), number(1));
    link.closed().await;
}

#[tokio::test]
async fn a_node_of_another_cluster_is_refused_by_name() {
    let node = Node::start(Fake::new(0xaaa, echo));
    let link = Link::open(
        node.address.as_str().into(),
        ClusterPin::known(0xbbb),
        Dialer::default(),
        Arc::default(),
    );
    let reason = link.opened().await.unwrap_err();
    assert!(reason.contains("aaa") && reason.contains("bbb"), "{reason}");
}

#[tokio::test]
async fn calls_and_answers_over_the_limit_are_named() {
    let node = Node::start(Fake::new(7, |call| {
        answer(call, vec![0; MAX_ANSWER_BYTES + 1].into());
    }));
    let caller = connect(vec![node.address.clone()], Dialer::default())
        .await
        .unwrap();
    let large = vec![0; MAX_COMMAND_BYTES + 1];
    let error = command(&caller, large.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(error.to_string().contains("1048577"), "{error}");

    let error = command(&caller, number(1)).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Applied);
    assert!(error.to_string().contains("4194305"), "{error}");

    // A client that does not check is refused by the node.
    let link = Link::open(
        node.address.as_str().into(),
        ClusterPin::default(),
        Dialer::default(),
        Arc::default(),
    );
    let (call, answer) = incoming(large);
    link.submit(call);
    let refusal = answer.await.unwrap().result.unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::Rejected);
    assert!(refusal.message.contains("1048576"), "{}", refusal.message);
}

#[tokio::test]
async fn many_large_calls_fit_into_frames() {
    let node = Node::start(Fake::new(7, echo));
    let caller = connect(vec![node.address.clone()], Dialer::default())
        .await
        .unwrap();
    let large = Bytes::from(vec![7; MAX_COMMAND_BYTES]);
    let calls = (0..32).map(|_| query(&caller, large.clone()));
    for answer in join_all(calls).await {
        assert_eq!(answer.unwrap().len(), MAX_COMMAND_BYTES);
    }
}

#[tokio::test]
async fn garbage_on_the_port_and_malformed_calls_leave_the_node_serving() {
    let node = Node::start(Fake::new(7, echo));
    for garbage in [&[0xff; 4096][..], b"GET / HTTP/1.1\r\n\r\n", &[0; 9]] {
        let mut stream = TcpStream::connect(&node.address).await.unwrap();
        stream.write_all(garbage).await.unwrap();
    }

    let malformed = v1::CallRequest {
        id: 42,
        ..Default::default()
    };
    let frame = v1::CallFrame {
        cluster_id: Bytes::new(),
        requests: vec![malformed],
    };
    let url = format!("http://{}", node.address);
    let mut client = v1::calls_client::CallsClient::connect(url).await.unwrap();
    let frames = tokio_stream::iter([frame]);
    let mut answers = client.call(frames).await.unwrap().into_inner();
    let greeting = answers.message().await.unwrap().unwrap();
    assert_eq!(greeting.cluster_id.len(), 16);
    let frame = answers.message().await.unwrap().unwrap();
    assert_eq!(frame.answers[0].id, 42);

    let caller = connect(vec![node.address.clone()], Dialer::default())
        .await
        .unwrap();
    assert_eq!(query(&caller, number(1)).await.unwrap(), number(1));
}

#[tokio::test]
async fn calls_that_wait_for_a_stream_are_bounded_by_their_bytes() {
    // Takes connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let link = Link::open(
        address.into(),
        ClusterPin::default(),
        Dialer::default(),
        Arc::default(),
    );
    let large = Bytes::from(vec![7; MAX_COMMAND_BYTES]);
    let mut waiting = Vec::new();
    let refusal = loop {
        let (call, mut answer) = incoming(large.clone());
        link.submit(call);
        match answer.try_recv() {
            Ok(reply) => break reply.result.unwrap_err(),
            Err(_) => waiting.push(answer),
        }
    };
    assert_eq!(waiting.len(), 64);
    assert_eq!(refusal.kind, ErrorKind::Busy);
    assert_eq!(refusal.outcome, Outcome::NotApplied);
    assert!(refusal.message.contains("64 MiB"), "{}", refusal.message);
}

#[tokio::test]
async fn the_time_left_travels_with_a_call() {
    const ALLOWED: Duration = Duration::from_millis(500);
    let node = Node::start(Fake::new(7, |call| {
        let left = call.deadline.saturating_duration_since(Instant::now());
        // The wire counts whole milliseconds, rounded up.
        assert!(left <= ALLOWED + Duration::from_millis(1), "{left:?}");
        echo(call);
    }));
    let caller = connect(vec![node.address.clone()], Dialer::default())
        .await
        .unwrap();
    let query = Request {
        deadline: Some(ALLOWED),
        ..request(Operation::Query(ReadLevel::Linearizable), number(1))
    };
    assert_eq!(caller.send(query).await.unwrap(), number(1));
}
