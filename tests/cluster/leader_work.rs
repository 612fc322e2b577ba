//! What runs on the leader alone: tokens, tasks, tickers, fencing numbers, changes of leader.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use braft::testing::{Cluster, TestNode, TestResult};
use braft::{Config, ErrorKind, LeaderChange, LeaderToken, Node, Outcome};

use crate::services::Counter;

/// A stretch of time in which a token was seen to be valid.
#[derive(Clone, Debug)]
#[allow(dead_code)] // shown when two of them overlap
struct Span {
    node: String,
    term: u64,
    from: Instant,
    to: Instant,
}

/// All tokens of a cluster, by the one clock of this process.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<Vec<Span>>>);

impl Book {
    fn spans(&self) -> MutexGuard<'_, Vec<Span>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down how long the token is valid, looking as often as the clock of the runtime allows.
    async fn keep(self, node: Node, token: LeaderToken) {
        let begun = Instant::now();
        if !token.is_valid() {
            return;
        }
        let place = {
            let mut spans = self.spans();
            spans.push(Span {
                node: node.address().to_owned(),
                term: token.term(),
                from: begun,
                to: begun,
            });
            spans.len() - 1
        };
        loop {
            // Before the look: the token is known to have been valid up to here.
            let now = Instant::now();
            if !token.is_valid() {
                return;
            }
            self.spans()[place].to = now;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn terms(&self) -> BTreeSet<u64> {
        self.spans().iter().map(|span| span.term).collect()
    }

    fn last_term(&self) -> u64 {
        self.terms().last().copied().unwrap_or(0)
    }

    /// Two tokens that were valid at the same moment.
    fn overlap(&self) -> Option<(Span, Span)> {
        let mut spans = self.spans().clone();
        spans.sort_by_key(|span| span.from);
        let mut last: Option<Span> = None;
        for span in spans {
            if let Some(last) = last.as_ref().filter(|last| last.to >= span.from) {
                return Some((last.clone(), span));
            }
            last = Some(match last {
                Some(last) if last.to > span.to => last,
                _ => span,
            });
        }
        None
    }
}

/// A cluster whose leader task does this.
async fn cluster<F>(
    nodes: usize,
    task: impl Fn(Node, LeaderToken) -> F + Clone + Send + Sync + 'static,
) -> TestResult<Cluster<Counter>>
where
    F: Future<Output = ()> + Send + 'static,
{
    Cluster::start_with(nodes, move |config| config.leader_task(task.clone())).await
}

/// Runs a body that starts its own cluster.
fn run<Fut: Future<Output = TestResult>>(name: &str, body: impl FnOnce() -> Fut) {
    braft::testing::run_test(1, name, |_: Cluster<Counter>| body());
}

/// Waits for a token of a later term than this.
async fn later(cluster: &Cluster<Counter>, book: &Book, term: u64) -> TestResult {
    cluster
        .eventually("a token of a later term", || book.last_term() > term)
        .await
}

#[test]
fn no_two_tokens_are_valid_at_once_over_twenty_forced_changes_of_leader() {
    const CHANGES: usize = 20;
    run("tokens", || async {
        let book = Book::default();
        let kept = book.clone();
        let cluster = cluster(3, move |node, token| kept.clone().keep(node, token)).await?;
        later(&cluster, &book, 0).await?;
        for change in 0..CHANGES {
            let before = book.last_term();
            let leader = cluster.leader().await?;
            match change % 3 {
                0 => {
                    let down = cluster.kill(leader).await?;
                    later(&cluster, &book, before).await?;
                    cluster.restart(down).await?;
                }
                1 => {
                    cluster.hand_over(TestNode((leader.0 + 1) % 3)).await?;
                    later(&cluster, &book, before).await?;
                }
                _ => {
                    // Nobody tells it that it no longer leads.
                    cluster.isolate(leader);
                    later(&cluster, &book, before).await?;
                    cluster.heal();
                }
            }
        }
        let terms = book.terms().len();
        println!("{terms} terms with a token, {} tokens", book.spans().len());
        assert!(terms > CHANGES);
        if let Some((one, other)) = book.overlap() {
            panic!("two tokens were valid at once: {one:?} and {other:?}");
        }
        cluster.stop_all().await;
        Ok(())
    });
}

#[test]
fn voters_restarted_within_a_lease_do_not_elect_another_leader_before_it_is_over() {
    run("restarted voters", || async {
        let book = Book::default();
        let kept = book.clone();
        let cluster = Cluster::<Counter>::start_with(3, move |config| {
            let kept = kept.clone();
            config
                .heartbeat(Duration::from_millis(100))
                // Far longer than two nodes need to restart and to elect one of them.
                .election_timeout(Duration::from_secs(2)..Duration::from_secs(4))
                .leader_task(move |node, token| kept.clone().keep(node, token))
        })
        .await?;
        later(&cluster, &book, 0).await?;
        let term = book.last_term();
        let leader = cluster.leader().await?;
        let followers = [1, 2].map(|next| TestNode((leader.0 + next) % 3));
        // Both have just granted it a lease, and forget it.
        cluster.partition(&[leader], &followers);
        let mut down = Vec::new();
        for follower in followers {
            down.push(cluster.kill(follower).await?);
        }
        for follower in down {
            cluster.restart(follower).await?;
        }
        later(&cluster, &book, term).await?;
        assert_eq!(book.overlap().map(|both| format!("{both:?}")), None);
        cluster.stop_all().await;
        Ok(())
    });
}

#[braft::test(nodes = 3)]
async fn restarted_nodes_elect_a_leader_among_them_once_their_leases_are_over(
    cluster: Cluster<Counter>,
) -> TestResult {
    cluster.client().add(1).await??;
    for _ in 0..3 {
        cluster.stop_all().await;
        cluster.start_all().await?;
        cluster.leader().await?;
    }
    assert_eq!(cluster.client().get().await?, 1);
    Ok(())
}

/// Counts how many of something run at once on each node.
#[derive(Clone, Default)]
struct Alive(Arc<Mutex<Vec<String>>>);

struct Guard(Alive, String);

impl Alive {
    fn running(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts until the guard is dropped. Says how many were there before on this node.
    fn enter(&self, node: &str) -> (Guard, usize) {
        let mut running = self.running();
        let before = running.iter().filter(|other| *other == node).count();
        running.push(node.to_owned());
        (Guard(self.clone(), node.to_owned()), before)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut running = self.0.running();
        if let Some(place) = running.iter().position(|node| *node == self.1) {
            running.remove(place);
        }
    }
}

#[test]
fn a_task_that_ignores_its_token_is_gone_before_the_next_one_starts_on_its_node() {
    run("a deaf task", || async {
        let (alive, doubled, started) = (
            Alive::default(),
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicU64::new(0)),
        );
        let (counted, twice, starts) = (alive.clone(), doubled.clone(), started.clone());
        let cluster = cluster(2, move |node: Node, _| {
            let (guard, before) = counted.enter(node.address());
            twice.fetch_add(before as u64, Ordering::Relaxed);
            starts.fetch_add(1, Ordering::Relaxed);
            async move {
                let _guard = guard;
                std::future::pending::<()>().await;
            }
        })
        .await?;
        let starts = || started.load(Ordering::Relaxed);
        cluster.eventually("a start", || starts() == 1).await?;
        for _ in 0..3 {
            let before = starts();
            cluster.isolate(cluster.leader().await?);
            let none = || alive.running().is_empty();
            cluster.eventually("the task to be dropped", none).await?;
            assert_eq!(starts(), before, "started without a quorum");
            cluster.heal();
            let again = || starts() > before;
            cluster.eventually("another start", again).await?;
        }
        assert_eq!(doubled.load(Ordering::Relaxed), 0);
        cluster.stop_all().await;
        assert!(alive.running().is_empty(), "a task outlives its node");
        Ok(())
    });
}

#[test]
fn a_task_that_panics_or_ends_is_not_started_twice_in_one_leadership() {
    run("a task that ends", || async {
        let started = Arc::new(Mutex::new(Vec::new()));
        let starts = started.clone();
        let cluster = cluster(3, move |_, token: LeaderToken| {
            let starts = starts.clone();
            async move {
                let count = {
                    let mut starts = starts.lock().unwrap_or_else(PoisonError::into_inner);
                    starts.push(token.term());
                    starts.len()
                };
                assert!(count % 2 == 0, "every other one panics");
            }
        })
        .await?;
        let terms = || {
            let started = started.lock().unwrap_or_else(PoisonError::into_inner);
            started.clone()
        };
        for count in 1..=4 {
            let there = || terms().len() >= count;
            cluster.eventually("the task to start", there).await?;
            let leader = cluster.leader().await?;
            cluster.hand_over(TestNode((leader.0 + 1) % 3)).await?;
        }
        cluster.stop_all().await;
        let (all, different) = (terms(), terms().into_iter().collect::<BTreeSet<_>>());
        assert_eq!(all, different.into_iter().collect::<Vec<_>>());
        Ok(())
    });
}

#[test]
fn a_ticker_neither_goes_on_after_the_lead_is_lost_nor_runs_twice_after_many_elections() {
    #[derive(Clone, Default)]
    struct Ticks {
        alive: Alive,
        doubled: Arc<AtomicU64>,
        late: Arc<AtomicU64>,
        by_term: Arc<Mutex<Vec<u64>>>,
    }

    async fn tick(ticks: Ticks, node: Node, token: LeaderToken) {
        let (_guard, before) = ticks.alive.enter(node.address());
        ticks.doubled.fetch_add(before as u64, Ordering::Relaxed);
        {
            let mut terms = ticks.by_term.lock().unwrap_or_else(PoisonError::into_inner);
            // A later leader has ticked already: this one goes on after it lost the lead.
            let late = terms.iter().any(|term| *term > token.term());
            ticks.late.fetch_add(u64::from(late), Ordering::Relaxed);
            terms.push(token.term());
        }
        // Another loop on this node would come in between.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }

    run("a ticker", || async {
        let ticks = Ticks::default();
        let made = ticks.clone();
        let cluster = Cluster::<Counter>::start_with(3, move |config: Config| {
            let made = made.clone();
            config.leader_ticker(Duration::from_millis(2), move |node, token| {
                tick(made.clone(), node, token)
            })
        })
        .await?;
        let count = |of: u64| {
            let terms = ticks.by_term.lock().unwrap_or_else(PoisonError::into_inner);
            terms.iter().filter(|term| **term >= of).count()
        };
        for change in 0..8 {
            let leader = cluster.leader().await?;
            let term = cluster.node(leader)?.status().term;
            let many = || count(term) > 20;
            cluster.eventually("the leader to tick", many).await?;
            if change % 2 == 0 {
                cluster.hand_over(TestNode((leader.0 + 1) % 3)).await?;
            } else {
                cluster.isolate(leader);
            }
            let next = || count(term + 1) > 20;
            cluster.eventually("the next leader to tick", next).await?;
            cluster.heal();
        }
        cluster.stop_all().await;
        assert_eq!(ticks.late.load(Ordering::Relaxed), 0);
        assert_eq!(ticks.doubled.load(Ordering::Relaxed), 0);
        Ok(())
    });
}

#[braft::test(nodes = 3)]
async fn a_command_with_the_number_of_a_past_leadership_is_refused_and_does_nothing(
    cluster: Cluster<Counter>,
) -> TestResult {
    let counter = cluster.client();
    let term = cluster.node(cluster.leader().await?)?.status().term;
    assert_eq!(counter.add(1).fence(term).await??, 1);
    let down = cluster.kill_leader().await?;
    let new = cluster.node(cluster.leader().await?)?.status().term;
    assert!(new > term);
    for place in (0..3).filter(|place| *place != down.node().0) {
        let counter = cluster.client_at(TestNode(place))?;
        let error = counter.add(10).fence(term).await.map(drop);
        let error = error.err().ok_or("it was carried out")?;
        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
        assert_eq!(error.outcome(), Outcome::NotApplied);
    }
    assert_eq!(counter.add(1).fence(new).await??, 2);
    // A number of the future is no reason to act either.
    let early = counter.add(10).fence(new + 100);
    let early = early.deadline(Duration::from_millis(300)).await;
    let kind = early.map(drop).map_err(|error| error.kind());
    assert_eq!(kind, Err(ErrorKind::Unavailable));
    let none = counter.add(10).fence(0).await.map(drop);
    assert_eq!(none.map_err(|error| error.kind()), Err(ErrorKind::Rejected));
    assert_eq!(counter.get().await?, 2);
    Ok(())
}

#[test]
fn a_call_fenced_with_a_token_that_is_over_is_not_even_sent() {
    run("a stale token", || async {
        let tokens = Arc::new(Mutex::new(Vec::new()));
        let given = tokens.clone();
        let cluster = cluster(1, move |_, token| {
            let mut given = given.lock().unwrap_or_else(PoisonError::into_inner);
            given.push(token);
            std::future::ready(())
        })
        .await?;
        let token = |place: usize| -> Option<LeaderToken> {
            let tokens = tokens.lock().unwrap_or_else(PoisonError::into_inner);
            tokens.get(place).cloned()
        };
        cluster.eventually("a token", || token(0).is_some()).await?;
        let first = token(0).ok_or("no token")?;
        let counter = cluster.client();
        assert_eq!(counter.add(1).fenced(&first).await??, 1);
        cluster.stop_all().await;
        assert!(!first.is_valid(), "a token outlives its node");
        // Without a node to answer it would take the whole deadline.
        let error = counter.add(1).fenced(&first).await.map(drop);
        let error = error.err().ok_or("it was carried out")?;
        assert_eq!(error.kind(), ErrorKind::Fenced);
        cluster.start_all().await?;
        cluster.eventually("a token", || token(1).is_some()).await?;
        let second = token(1).ok_or("no token")?;
        assert!(second.term() > first.term());
        assert_eq!(counter.add(1).fenced(&second).await??, 2);
        cluster.stop_all().await;
        Ok(())
    });
}

#[test]
fn changes_of_leader_are_told_in_order_by_a_callback_that_may_block() {
    run("changes", || async {
        let told = Arc::new(Mutex::new(Vec::<(String, LeaderChange)>::new()));
        let heard = told.clone();
        let names = Arc::new(AtomicU64::new(0));
        let cluster = Cluster::<Counter>::start_with(3, move |config| {
            let heard = heard.clone();
            let name = names.fetch_add(1, Ordering::Relaxed).to_string();
            config.on_leader_change(move |change| {
                // As long as an election takes: the node must not be held up.
                std::thread::sleep(Duration::from_millis(250));
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                heard.push((name.clone(), change));
            })
        })
        .await?;
        let counter = cluster.client();
        for _ in 0..3 {
            let leader = cluster.leader().await?;
            cluster.hand_over(TestNode((leader.0 + 1) % 3)).await?;
            counter.add(1).await??;
        }
        let leader = cluster.leader().await?;
        let address = cluster.address(leader);
        let told = || told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let last = |name: &str| {
            let told = told();
            let of = told.into_iter().rev().find(|(other, _)| other == name);
            of.and_then(|(_, change)| change.leader.map(|leader| (leader.address, change.is_here)))
        };
        let all_know = || {
            let known: Vec<_> = ["0", "1", "2"].into_iter().filter_map(last).collect();
            known.len() == 3
                && known.iter().all(|(at, _)| *at == address)
                && known.iter().filter(|(_, is_here)| *is_here).count() == 1
        };
        cluster.eventually("all to be told", all_know).await?;
        for name in ["0", "1", "2"] {
            let told = told();
            let of = told.iter().filter(|(other, _)| other == name);
            let terms: Vec<_> = of.map(|(_, change)| change.term).collect();
            assert!(terms.is_sorted(), "node {name} was told {terms:?}");
        }
        cluster.stop_all().await;
        Ok(())
    });
}
