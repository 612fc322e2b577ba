//! One run after the other: warm-up, window, and the figures before and after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};

use crate::args::{LoadArgs, Pace};
use crate::figures::Figures;
use crate::process::ProcessFigures;
use crate::progress::Bar;
use crate::target::Target;
use crate::workload::{Operation, Workload, key};
use crate::{closed, open};

/// Writes under way while keys are written without being measured.
const WRITES_AT_ONCE: usize = 64;

/// What a node has used and done so far. What it does not tell is missing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeSample {
    /// CPU time.
    pub cpu: Option<Duration>,
    /// Resident memory, bytes.
    pub rss_bytes: Option<u64>,
    /// Syncs of its log.
    pub fsyncs: Option<u64>,
    /// Entries written to its log.
    pub entries: Option<u64>,
}

/// A run cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failed(pub String);

/// Everything that is looked at before and after a run.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    pub(crate) own_cpu: Option<Duration>,
    pub(crate) nodes: Vec<NodeSample>,
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    WarmUp,
    Measured,
    Over,
}

/// Tells the clients where the run is, and counts what they did.
#[derive(Debug, Default)]
pub(crate) struct Window {
    phase: AtomicU8,
    done: AtomicU64,
}

impl Window {
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::WarmUp,
            1 => Phase::Measured,
            _ => Phase::Over,
        }
    }

    pub(crate) fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Operations so far, the warm-up's too.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

/// Writes every key once, so that reads find something.
///
/// # Errors
/// If a write fails.
pub async fn fill<T: Target>(args: &LoadArgs, target: &T) -> Result<(), Failed> {
    let bar = Bar::writes(args.keys, "writing every key once");
    write(args.keys, args.keys, args.value_bytes, target, &bar).await
}

/// Makes so many writes, to so many keys one after the other.
///
/// # Errors
/// If a write fails.
pub async fn write_all<T: Target>(
    writes: u64,
    keys: u64,
    value_bytes: usize,
    name: &str,
    target: &T,
) -> Result<(), Failed> {
    let bar = Bar::writes(writes, &format!("{name}, {writes} writes to {keys} keys"));
    write(writes, keys, value_bytes, target, &bar).await
}

async fn write<T: Target>(
    writes: u64,
    keys: u64,
    value_bytes: usize,
    target: &T,
    bar: &Bar,
) -> Result<(), Failed> {
    let value = "v".repeat(value_bytes);
    let writes = stream::iter(0..writes).map(|number| {
        let (target, value) = (target.clone(), &value);
        async move { target.put(&key(number % keys), value).await }
    });
    let mut writes = std::pin::pin!(writes.buffer_unordered(WRITES_AT_ONCE));
    while let Some(written) = writes.next().await {
        written.map_err(|error| Failed(format!("the keys cannot be written: {error}")))?;
        bar.advance();
    }
    Ok(())
}

/// Carries out all runs that the options ask for, on these connections.
pub async fn run_all<T: Target>(
    args: &LoadArgs,
    name: &str,
    targets: &[T],
    sample: impl AsyncFn() -> Vec<NodeSample>,
) -> Vec<Figures> {
    let mut figures = Vec::new();
    for operation in &args.operation {
        for pace in args.paces() {
            figures.push(run(args, name, *operation, pace, targets, &sample).await);
        }
    }
    figures
}

async fn run<T: Target>(
    args: &LoadArgs,
    name: &str,
    operation: Operation,
    pace: Pace,
    targets: &[T],
    sample: &impl AsyncFn() -> Vec<NodeSample>,
) -> Figures {
    let workload = Arc::new(args.workload(operation));
    let window = Arc::new(Window::default());
    let bar = Bar::run(name, operation, pace, args.warm_up + args.seconds);
    let (load, watched) = (load(&workload, pace, targets, &window), window.clone());
    let watch = async {
        bar.follow(args.warm_up, &watched).await;
        let before = moment(sample).await;
        watched.set(Phase::Measured);
        bar.follow(args.seconds, &watched).await;
        watched.set(Phase::Over);
        let over = Instant::now();
        // Asking the nodes takes a while, in which nothing is done any more.
        let after = Moment {
            at: over,
            ..moment(sample).await
        };
        (before, after)
    };
    let (tally, (before, after)) = tokio::join!(load, watch);
    Figures::new(operation, pace, &tally, &before, &after)
}

async fn load<T: Target>(
    workload: &Arc<Workload>,
    pace: Pace,
    targets: &[T],
    window: &Arc<Window>,
) -> crate::tally::Tally {
    match pace {
        Pace::Closed { clients } => closed::run(workload, targets, clients, window).await,
        Pace::Open { per_second } => open::run(workload, targets, per_second, window).await,
    }
}

async fn moment(sample: &impl AsyncFn() -> Vec<NodeSample>) -> Moment {
    let nodes = sample().await;
    Moment {
        at: Instant::now(),
        own_cpu: ProcessFigures::own().map(|own| own.cpu),
        nodes,
    }
}
