//! Commands run once, whatever happens to the nodes that carry them and to what they answer.
//!
//! `EXACTLY_ONCE_INCREMENTS=200000` makes the runs longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use braft::testing::{Cluster, TestNode, TestResult, run_test};
use braft::{Outcome, Settings};
use tests::{Ledger, LedgerClient};
use tokio::task::JoinHandle;

const CLIENTS: u64 = 16;
/// Increments of one client under way at once: they arrive out of order.
const AT_ONCE: u64 = 8;
/// Long enough for any failover on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);
const ONE_ANSWER_LOST_IN: u64 = 50;
/// From the first write under a leader until it is killed.
const REIGN: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Ids asked about in one query.
const IDS_PER_QUERY: usize = 20_000;

/// How many increments, unless the environment says otherwise.
fn increments(standard: u64) -> u64 {
    let text = std::env::var("EXACTLY_ONCE_INCREMENTS").ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(standard)
}

/// What the writers have in common. Each increment has an id of its own.
#[derive(Default)]
struct Shared {
    wanted: AtomicU64,
    next_id: AtomicU64,
    acknowledged: AtomicU64,
    /// While set, no further increment begins.
    hold: AtomicBool,
}

#[derive(Default)]
struct Written {
    acknowledged: Vec<u64>,
    unknown: Vec<u64>,
    refused: u64,
}

struct Writers {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<Written>>,
    /// What was written beside them.
    aside: Written,
}

impl Writers {
    fn start(cluster: &Cluster<Ledger>, wanted: u64) -> Self {
        let shared = Arc::new(Shared {
            wanted: AtomicU64::new(wanted),
            ..Shared::default()
        });
        let clients = (0..CLIENTS).map(|_| cluster.client());
        let tasks = clients
            .flat_map(|client| (0..AT_ONCE).map(move |_| client.clone()))
            .map(|client| tokio::spawn(write(client, shared.clone())))
            .collect();
        Writers {
            shared,
            tasks,
            aside: Written::default(),
        }
    }

    fn are_done(&self) -> bool {
        self.tasks.iter().all(JoinHandle::is_finished)
    }

    fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until that many increments are acknowledged, or all are made.
    async fn reach(&self, acknowledged: u64) {
        while self.acknowledged() < acknowledged && !self.are_done() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Nobody writes until the sessions of all writers are gone.
    async fn let_sessions_expire(&mut self, cluster: &Cluster<Ledger>) -> TestResult {
        self.shared.hold.store(true, Ordering::Relaxed);
        let other = cluster.client();
        let since = Instant::now();
        loop {
            // Log time moves with the log.
            let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
            match other.record(id, "").deadline(DEADLINE).await {
                Ok(_) => self.aside.acknowledged.push(id),
                Err(_) => self.aside.unknown.push(id),
            }
            let leader = cluster.node(cluster.leader().await?)?;
            if leader.status().sessions <= 1 {
                break;
            }
            if since.elapsed() > DEADLINE {
                return Err("the sessions of clients that are silent do not expire".into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.shared.hold.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Every acknowledged increment is there once; of the others no more than may have happened.
    async fn check(self, cluster: &Cluster<Ledger>) -> TestResult {
        let mut all = self.aside;
        for task in self.tasks {
            let written = task.await?;
            all.acknowledged.extend(written.acknowledged);
            all.unknown.extend(written.unknown);
            all.refused += written.refused;
        }
        cluster.converged().await?;
        let ledger = cluster.client();
        for ids in all.acknowledged.chunks(IDS_PER_QUERY) {
            let missing = ledger.missing(ids).deadline(DEADLINE).await?;
            assert!(missing.is_empty(), "acknowledged and lost: {missing:?}");
        }
        let doubled = ledger.doubled().deadline(DEADLINE).await?;
        assert!(doubled.is_empty(), "applied twice: {doubled:?}");
        let mut happened = 0;
        for ids in all.unknown.chunks(IDS_PER_QUERY) {
            let missing = ledger.missing(ids).deadline(DEADLINE).await?;
            happened += ids.len() - missing.len();
        }
        let count = ledger.count().deadline(DEADLINE).await?;
        println!(
            "{} acknowledged, {} unknown of which {happened} happened, {} refused; the count is \
             {count}",
            all.acknowledged.len(),
            all.unknown.len(),
            all.refused
        );
        assert_eq!(count, (all.acknowledged.len() + happened) as u64);
        Ok(())
    }
}

async fn write(ledger: LedgerClient, shared: Arc<Shared>) -> Written {
    let mut written = Written::default();
    loop {
        while shared.hold.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
        if id >= shared.wanted.load(Ordering::Relaxed) {
            return written;
        }
        match ledger.record(id, "").deadline(DEADLINE).await {
            Ok(times) => {
                assert_eq!(times, 1, "increment {id} was applied more than once");
                shared.acknowledged.fetch_add(1, Ordering::Relaxed);
                written.acknowledged.push(id);
            }
            Err(error) if error.outcome() == Outcome::NotApplied => written.refused += 1,
            Err(_) => written.unknown.push(id),
        }
    }
}

/// Kills each leader a second after its first acknowledgement and brings it back, breaking all
/// connections in between, until the writers are done. Says how many were killed.
async fn kill_leaders(cluster: &Cluster<Ledger>, writers: &Writers) -> TestResult<u32> {
    let mut killed = 0;
    while !writers.are_done() {
        let leader = cluster.leader().await?;
        writers.reach(writers.acknowledged() + 1).await;
        let first = Instant::now();
        // In the midst of the reign, at another moment of each.
        let odd = REIGN * (1 + killed % 5) / 6;
        tokio::time::sleep(odd).await;
        cluster.break_connections();
        while first.elapsed() < REIGN && !writers.are_done() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        if writers.are_done() {
            break;
        }
        let down = cluster.kill(leader).await?;
        killed += 1;
        writers.reach(writers.acknowledged() + 1).await;
        cluster.restart(down).await?;
    }
    Ok(killed)
}

#[braft::test(nodes = 3)]
async fn no_increment_is_lost_or_doubled_while_leaders_die_and_answers_are_lost(
    cluster: Cluster<Ledger>,
) -> TestResult {
    cluster.lose_one_answer_in(ONE_ANSWER_LOST_IN);
    let writers = Writers::start(&cluster, increments(6_000));
    let began = Instant::now();
    let killed = kill_leaders(&cluster, &writers).await?;
    cluster.lose_one_answer_in(0);
    println!("{killed} leaders killed in {:?}", began.elapsed());
    writers.check(&cluster).await
}

/// Waits until a majority of the nodes have no log from the beginning any more.
async fn wait_for_snapshots(cluster: &Cluster<Ledger>) -> TestResult {
    let since = Instant::now();
    loop {
        let mut purged = 0;
        for place in 0..3 {
            let log = cluster.node(TestNode(place))?.status().log;
            purged += usize::from(log.purged_index > 0);
        }
        if purged >= 2 {
            return Ok(());
        }
        if since.elapsed() > DEADLINE {
            return Err("no snapshots are made".into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[test]
fn no_increment_is_lost_or_doubled_across_snapshots_restarts_and_expiry() {
    const EXPIRY: Duration = Duration::from_millis(1_500);
    run_test(1, "exactly once", |_: Cluster<Ledger>| async {
        let settings = Settings {
            session_expiry_ms: EXPIRY.as_millis() as u64,
            ..Settings::default()
        };
        let cluster = Cluster::<Ledger>::start_with(3, move |config| {
            config
                .settings(settings.clone())
                .snapshot_every(5)
                .keep_log_entries(1)
        })
        .await?;
        cluster.lose_one_answer_in(ONE_ANSWER_LOST_IN);
        let wanted = increments(4_000);
        let mut writers = Writers::start(&cluster, wanted);
        for part in 1..=3 {
            writers.reach(part * wanted / 4).await;
            wait_for_snapshots(&cluster).await?;
            // All nodes at once: what is under way is lost, and asked for again.
            cluster.stop_all().await;
            cluster.start_all().await?;
            writers.reach(part * wanted / 4 + CLIENTS).await;
            writers.let_sessions_expire(&cluster).await?;
        }
        cluster.lose_one_answer_in(0);
        writers.reach(wanted).await;
        writers.check(&cluster).await?;
        cluster.stop_all().await;
        Ok(())
    });
}

/// The ledger of a later binary: the same commands, and one more.
mod later {
    use std::collections::BTreeMap;

    use braft::raft_service;
    use serde::{Deserialize, Serialize};

    #[raft_service(version = 2)]
    #[derive(Default, Serialize, Deserialize)]
    pub struct Ledger {
        times: BTreeMap<u64, u32>,
        ballast: String,
        #[field(since = 2)]
        strikes: u64,
    }

    #[raft_service]
    impl Ledger {
        pub fn record(&mut self, id: u64, ballast: &str) -> u32 {
            ballast.clone_into(&mut self.ballast);
            let times = self.times.entry(id).or_default();
            *times += 1;
            *times
        }

        /// Counts on, and says how far.
        #[command(since = 2)]
        pub fn strike(&mut self) -> u64 {
            self.strikes += 1;
            self.strikes
        }

        pub fn missing(&self, ids: &[u64]) -> Vec<u64> {
            let missing = ids.iter().filter(|id| !self.times.contains_key(id));
            missing.copied().collect()
        }

        pub fn doubled(&self) -> Vec<u64> {
            let doubled = self.times.iter().filter(|(_, times)| **times > 1);
            doubled.map(|(id, _)| *id).collect()
        }

        pub fn count(&self) -> u64 {
            self.times.len() as u64
        }
    }
}

#[test]
fn no_increment_is_lost_or_doubled_across_an_upgrade_to_a_binary_with_more_commands() {
    const STRIKES: u64 = 20;
    run_test(1, "exactly once", |_: Cluster<Ledger>| async {
        // Nodes of both binaries read the snapshots of the other.
        let config = |config: braft::Config| config.snapshot_every(50).keep_log_entries(10);
        let cluster = Cluster::<Ledger>::start_with(3, config).await?;
        cluster.all_vote().await?;
        cluster.lose_one_answer_in(ONE_ANSWER_LOST_IN);
        let wanted = increments(6_000);
        // They go on until the upgrade is over.
        let writers = Writers::start(&cluster, u64::MAX);
        for place in 0..3_u64 {
            writers.reach((place + 1) * wanted / 5).await;
            cluster.break_connections();
            let node = TestNode(place as usize);
            // Killed, not stopped in order: what was under way is asked for again, of another binary.
            let down = cluster.kill(node).await?;
            writers.reach(writers.acknowledged() + CLIENTS).await;
            cluster.restart_as::<later::Ledger>(down).await?;
            cluster.node(node)?.ready().await;
        }
        for node in (0..3).map(TestNode) {
            cluster.active_version(node, "Ledger", 2).await?;
        }
        // The new command, at most once as well, beside increments of clients of the old binary.
        let later = cluster.client_of::<later::Ledger>();
        for strike in 1..STRIKES {
            assert_eq!(later.strike().deadline(DEADLINE).await?, strike);
        }
        let down = cluster.kill_leader().await?;
        assert_eq!(later.strike().deadline(DEADLINE).await?, STRIKES);
        cluster.restart(down).await?;
        writers.reach(wanted).await;
        writers.shared.wanted.store(0, Ordering::Relaxed);
        cluster.lose_one_answer_in(0);
        writers.check(&cluster).await?;
        cluster.stop_all().await;
        Ok(())
    });
}
