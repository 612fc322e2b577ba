//! A client and a node in made-up time: what is sent, and what is answered.

use std::collections::VecDeque;

use super::*;

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// From the client to the node and back.
const WAY: Duration = Duration::from_millis(2);
/// What it costs a node to refuse a read, beside an answer.
const REFUSAL: f64 = 0.25;

/// A node that answers so many reads in a millisecond, if it refuses none.
struct Node {
    answers: f64,
    /// The time it has, in reads.
    time: f64,
    /// How many may wait.
    room: usize,
    waiting: usize,
    answered: usize,
    refused: usize,
}

impl Node {
    fn new(answers: f64) -> Self {
        Node {
            answers,
            time: 0.0,
            room: (answers * 100.0) as usize,
            waiting: 0,
            answered: 0,
            refused: 0,
        }
    }

    /// One more millisecond, in which so many reads come.
    fn passes(&mut self, reads: usize) -> Ended {
        // Time that nobody wanted does not come back, but for what is left of a read.
        self.time = self.time.min(1.0) + self.answers;
        let mut ended = Ended::default();
        for _ in 0..reads {
            if self.waiting < self.room {
                self.waiting += 1;
            } else {
                self.time -= REFUSAL;
                self.refused += 1;
                ended.add(Reads::OfLeader, true, SECOND);
            }
        }
        while self.waiting > 0 && self.time >= 1.0 {
            self.time -= 1.0;
            self.waiting -= 1;
            self.answered += 1;
            ended.add(Reads::OfLeader, false, SECOND);
        }
        ended
    }
}

struct Client {
    throttle: Throttle,
    now: Instant,
    on_the_way: VecDeque<(Instant, Ended)>,
    /// What is due of reads that begin in parts.
    due: f64,
    begun: usize,
    sent: usize,
}

impl Client {
    fn new() -> Self {
        Client {
            throttle: Throttle::default(),
            now: Instant::now(),
            on_the_way: VecDeque::new(),
            due: 0.0,
            begun: 0,
            sent: 0,
        }
    }

    /// Begins so many reads in each millisecond, for so long.
    fn asks(&mut self, node: &mut Node, reads: f64, lasts: Duration) {
        let end = self.now + lasts;
        while self.now < end {
            self.now += MILLI;
            while let Some((at, _)) = self.on_the_way.front()
                && *at <= self.now
                && let Some((_, ended)) = self.on_the_way.pop_front()
            {
                self.throttle.note(&ended, self.now);
            }
            self.due += reads;
            let mut sent = 0;
            while self.due >= 1.0 {
                self.due -= 1.0;
                self.begun += 1;
                sent += usize::from(self.throttle.admits(Reads::OfLeader, SECOND, self.now));
            }
            self.sent += sent;
            self.on_the_way
                .push_back((self.now + WAY, node.passes(sent)));
        }
    }

    fn refused(&self) -> usize {
        self.begun - self.sent
    }
}

/// The node says *busy* to a read with so much time.
fn say_busy(throttle: &Throttle, reads: Reads, had: Duration, now: Instant) {
    let mut ended = Ended::default();
    ended.add(reads, true, had);
    throttle.note(&ended, now);
}

/// How many of that many reads are sent at one moment.
fn sent(throttle: &Throttle, count: usize, now: Instant) -> usize {
    let admits = |_: &usize| throttle.admits(Reads::OfLeader, SECOND, now);
    (0..count).filter(admits).count()
}

#[test]
fn nothing_is_refused_before_a_node_says_busy() {
    let (mut client, mut node) = (Client::new(), Node::new(50.0));
    client.asks(&mut node, 49.0, 3 * SECOND);
    assert_eq!(client.refused(), 0);
    assert!(client.begun > 100_000);
}

#[test]
fn under_twice_the_load_a_node_answers_nine_tenths_of_what_it_can() {
    for answers in [0.5, 5.0, 50.0] {
        let (mut client, mut node) = (Client::new(), Node::new(answers));
        client.asks(&mut node, 2.0 * answers, SECOND);
        let (answered, sent) = (node.answered, client.sent);
        client.asks(&mut node, 2.0 * answers, 10 * SECOND);
        let can = answers * 10_000.0;
        let part = (node.answered - answered) as f64 / can;
        assert!(part >= 0.9, "{part} of {can}");
        let sent = (client.sent - sent) as f64 / can;
        assert!(sent >= part && sent <= 1.3, "{sent} sent of {can}");
    }
}

#[test]
fn without_it_a_node_loses_a_third_to_refusals() {
    // What the figures above are worth: the same node, to which everything is sent.
    let mut node = Node::new(50.0);
    for _ in 0..10_000 {
        node.passes(100);
    }
    let part = node.answered as f64 / 500_000.0;
    assert!(part < 0.7, "{part}");
}

#[test]
fn everything_is_sent_again_once_the_node_has_not_been_busy_for_a_while() {
    let (mut client, mut node) = (Client::new(), Node::new(50.0));
    client.asks(&mut node, 200.0, 2 * SECOND);
    assert!(client.refused() > 100_000);
    // As much as the node can answer, while it works off what waits.
    client.asks(&mut node, 40.0, QUIET + SECOND / 2);
    let refused = client.refused();
    client.asks(&mut node, 40.0, 3 * SECOND);
    assert_eq!(client.refused(), refused);
}

#[test]
fn a_node_that_answers_nothing_is_asked_now_and_then_and_believed_at_once() {
    let (mut client, mut node) = (Client::new(), Node::new(0.0));
    client.asks(&mut node, 50.0, SECOND);
    let sent = client.sent;
    client.asks(&mut node, 50.0, 4 * SECOND);
    let some = (client.sent - sent) as f64 / (4 * SECOND).div_duration_f64(PART * PARTS as u32);
    assert!((1.0..3.0 * FREE).contains(&some), "{some} in each window");
    let mut node = Node::new(50.0);
    client.asks(&mut node, 40.0, QUIET + 4 * WAY);
    let refused = client.refused();
    client.asks(&mut node, 40.0, SECOND);
    assert_eq!(client.refused(), refused);
}

#[test]
fn a_few_reads_are_always_sent() {
    let (throttle, mut now) = (Throttle::default(), Instant::now());
    for _ in 0..100 {
        say_busy(&throttle, Reads::OfLeader, SECOND, now);
        assert!(throttle.admits(Reads::OfLeader, SECOND, now));
        now += PART * 2;
    }
}

#[test]
fn reads_with_much_more_time_than_those_that_were_refused_are_sent() {
    let (throttle, now) = (Throttle::default(), Instant::now());
    say_busy(&throttle, Reads::OfLeader, SECOND, now);
    assert!(sent(&throttle, 1000, now) < 100);
    assert!(!throttle.admits(Reads::OfLeader, 2 * SECOND, now));
    assert!(throttle.admits(Reads::OfLeader, 5 * SECOND, now));
    say_busy(&throttle, Reads::OfLeader, 5 * SECOND, now);
    assert!(!throttle.admits(Reads::OfLeader, 5 * SECOND, now));
}

#[test]
fn reads_of_the_node_and_of_the_leader_are_told_apart() {
    let (throttle, now) = (Throttle::default(), Instant::now());
    say_busy(&throttle, Reads::OfLeader, SECOND, now);
    let of_node = |_: &usize| throttle.admits(Reads::OfNode, SECOND, now);
    assert_eq!((0..1000).filter(of_node).count(), 1000);
    assert!(sent(&throttle, 1000, now) < 100);
}

#[test]
fn only_reads_are_counted() {
    let command = Action::Command {
        session: 1,
        sequence: 1,
        responded_to: 0,
        fence: None,
    };
    let others = [command, Action::OpenSession, Action::ReadIndex];
    assert!(others.into_iter().all(|action| Reads::of(action).is_none()));
    let read = |level| {
        Reads::of(Action::Query {
            level,
            min_index: 0,
        })
    };
    assert_eq!(read(ReadLevel::Linearizable), Some(Reads::OfLeader));
    assert_eq!(read(ReadLevel::Local), Some(Reads::OfNode));
}

#[test]
fn a_long_silence_is_forgotten_as_a_whole() {
    let (throttle, now) = (Throttle::default(), Instant::now());
    say_busy(&throttle, Reads::OfLeader, SECOND, now);
    let before = sent(&throttle, 1000, now);
    let later = now + Duration::from_secs(24 * 60 * 60);
    assert_eq!(sent(&throttle, 1000, later), 1000);
    say_busy(&throttle, Reads::OfLeader, SECOND, later);
    assert_eq!(sent(&throttle, 1000, later), before);
}
