//! Clients that write without pause and remember what was acknowledged.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use braft::Outcome;
use braft::testing::TestResult;
use tests::LedgerClient;
use tokio::task::JoinHandle;

/// Long enough for any failover on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);
/// The longest that no write at all may get through; a hanging test says so.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Bytes that each write carries along.
const BALLAST_BYTES: usize = 200;
/// Ids asked about in one query.
const IDS_PER_QUERY: usize = 20_000;

/// Clients at work.
pub(crate) struct Writers {
    tasks: Vec<JoinHandle<Written>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    next_id: AtomicU64,
    acknowledged: AtomicU64,
}

/// What became of the writes.
#[derive(Default)]
pub(crate) struct Written {
    acknowledged: Vec<u64>,
    unknown: Vec<u64>,
    refused: u64,
    /// When each acknowledgement came.
    at: Vec<Instant>,
}

impl Writers {
    /// Starts one writer for each client; each has one write under way at a time.
    pub(crate) fn start(clients: Vec<LedgerClient>) -> Self {
        let shared = Arc::new(Shared::default());
        let tasks = clients
            .into_iter()
            .map(|client| tokio::spawn(write(client, shared.clone())))
            .collect();
        Writers { tasks, shared }
    }

    /// Acknowledged writes so far.
    fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until this many further writes are acknowledged.
    pub(crate) async fn progress(&self, writes: u64) -> TestResult {
        let start = self.acknowledged();
        let mut seen = start;
        let mut since = Instant::now();
        while seen < start + writes {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.acknowledged();
            if now > seen {
                (seen, since) = (now, Instant::now());
            }
            if since.elapsed() > PATIENCE {
                let done = seen - start;
                Err(format!(
                    "writes stand still for {PATIENCE:?}, {done} of {writes} were made"
                ))?;
            }
        }
        Ok(())
    }

    /// Lets each writer finish the write it is at.
    pub(crate) async fn stop(self) -> TestResult<Written> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut all = Written::default();
        for task in self.tasks {
            let written = task.await?;
            all.acknowledged.extend(written.acknowledged);
            all.unknown.extend(written.unknown);
            all.at.extend(written.at);
            all.refused += written.refused;
        }
        all.at.sort_unstable();
        Ok(all)
    }
}

async fn write(client: LedgerClient, shared: Arc<Shared>) -> Written {
    let ballast = "b".repeat(BALLAST_BYTES);
    let mut written = Written::default();
    while !shared.stop.load(Ordering::Relaxed) {
        let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
        match client.record(id, &ballast).deadline(DEADLINE).await {
            Ok(times) => {
                assert_eq!(times, 1, "write {id} was applied more than once");
                shared.acknowledged.fetch_add(1, Ordering::Relaxed);
                written.acknowledged.push(id);
                written.at.push(Instant::now());
            }
            Err(error) if error.outcome() == Outcome::NotApplied => written.refused += 1,
            Err(_) => written.unknown.push(id),
        }
    }
    written
}

impl Written {
    /// Every acknowledged write is there, none is there twice, nothing else is there.
    pub(crate) async fn check(&self, client: &LedgerClient) -> TestResult {
        for ids in self.acknowledged.chunks(IDS_PER_QUERY) {
            let missing = client.missing(ids).deadline(DEADLINE).await?;
            assert!(missing.is_empty(), "acknowledged and lost: {missing:?}");
        }
        let doubled = client.doubled().deadline(DEADLINE).await?;
        assert!(doubled.is_empty(), "applied twice: {doubled:?}");
        let mut unknown_there = 0;
        for ids in self.unknown.chunks(IDS_PER_QUERY) {
            unknown_there += ids.len() - client.missing(ids).deadline(DEADLINE).await?.len();
        }
        let count = client.count().deadline(DEADLINE).await?;
        assert_eq!(
            count,
            (self.acknowledged.len() + unknown_there) as u64,
            "writes are there that were refused"
        );
        Ok(())
    }

    /// The longest time without an acknowledgement.
    pub(crate) fn longest_gap(&self) -> Duration {
        let pairs = self.at.windows(2);
        pairs
            .map(|pair| pair[1] - pair[0])
            .max()
            .unwrap_or_default()
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (acknowledged, unknown) = (self.acknowledged.len(), self.unknown.len());
        let (refused, gap) = (self.refused, self.longest_gap());
        write!(
            f,
            "{acknowledged} writes acknowledged, {unknown} unknown, {refused} refused; \
             longest gap {gap:?}"
        )
    }
}
