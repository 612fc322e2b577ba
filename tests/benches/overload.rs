//! Twice the load that a node can carry: throughput, times and memory.
//!
//! `cargo bench -p tests --bench overload`. One node in a process of its own, on a processor of its own;
//! clients in this one, on the others. First what the node carries, in a closed loop; then twice as many
//! calls begin as that, at even times, whether or not those before have ended.
//!
//! To begin a call that is refused costs the clients almost as much as one that is answered. On the
//! processors of the node, twice as many calls would take from it what is to be measured: hence the
//! processor of its own. With commands that cost next to nothing the clients' processor cannot begin
//! twice as many as the node carries; so the calls cost the node something, and the lines below say how
//! many were begun, and what both sides used of their processors.
//! `BRAFT_OVERLOAD_ROUNDS` says how much they cost, in nanoseconds or so.
//!
//! A call's time begins when it is handed to the client, and ends when its answer is there: when whoever
//! waits for it is woken. Until its task runs again more time may pass, for which the processor of the
//! clients is to blame that has so many tasks; it is printed apart, with how late calls were begun.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::{Duration, Instant};

use braft::testing::TestResult;
use braft::{Client, Error, ErrorKind};
use futures_util::task::AtomicWaker;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tests::MillClient;

/// Clients that share nothing: a session and a stream each.
const CLIENTS: u64 = 32;
/// Calls of one client under way at once in the closed loop.
const AT_ONCE: [u64; 3] = [8, 32, 128];
const CLOSED: Duration = Duration::from_secs(4);
const OPEN: Duration = Duration::from_secs(10);
/// The whole time of one call.
const DEADLINE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(2);
const VALUE_BYTES: usize = 256;
/// What a call costs the node, in rounds.
const ROUNDS: u32 = 15_000;

struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Node {
    fn start(data: &Path, address: &str) -> TestResult<Self> {
        let (ip, port) = address.rsplit_once(':').ok_or("no port")?;
        let child = Command::new(env!("CARGO_BIN_EXE_node"))
            .env("BRAFT_IP", ip)
            .env("BRAFT_RPORT", port)
            .env("BRAFT_HPORT", "0")
            .env("BRAFT_DISCOVERY", address)
            .env("BRAFT_EXPECT", "1")
            .env("BRAFT_CLUSTER", "overload")
            .env("BRAFT_DATA_DIR", data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Node(child))
    }

    /// Memory in use, and the most that ever was, in MiB.
    fn memory(&self) -> TestResult<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let mib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
            kib.map(|kib| kib >> 10).ok_or(format!("no {name}"))
        };
        Ok((mib("VmRSS:")?, mib("VmHWM:")?))
    }
}

/// Processor time that a process has used so far.
fn processor_time(pid: u32) -> TestResult<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no name in stat")?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<u64>().ok());
    let ticks = ticks(11).ok_or("no user time")? + ticks(12).ok_or("no system time")?;
    // A tick is a hundredth of a second on every Linux.
    Ok(Duration::from_millis(10 * ticks))
}

/// Gives the first processor to whom `start` starts, and the others to this process. With a single
/// one they share it.
fn apart<T>(start: impl FnOnce() -> TestResult<T>) -> TestResult<T> {
    let all = sched_getaffinity(None)?;
    let mut processors = (0..CpuSet::MAX_CPU).filter(|place| all.is_set(*place));
    let first = processors.next().ok_or("no processor")?;
    if processors.next().is_none() {
        println!("a single processor: the clients take from the node what is measured");
        return start();
    }
    let (mut one, mut others) = (CpuSet::new(), all);
    one.set(first);
    others.unset(first);
    // Inherited by what this thread starts.
    sched_setaffinity(None, &one)?;
    let started = start();
    sched_setaffinity(None, &others)?;
    started
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Writes,
    Reads,
}

impl Kind {
    async fn call(self, mill: &MillClient, rounds: u32, value: &str) -> Result<(), Error> {
        match self {
            Kind::Writes => {
                let ground = mill.grind(rounds, value).deadline(DEADLINE);
                ground.await.map(drop)
            }
            Kind::Reads => mill.taste(rounds).deadline(DEADLINE).await.map(drop),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    measure().map_err(|error| error.to_string().into())
}

fn measure() -> TestResult {
    let directory = tempfile::tempdir()?;
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let address = free.to_string();
    let node = apart(|| Node::start(directory.path(), &address))?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        for kind in [Kind::Writes, Kind::Reads] {
            overload(kind, &node, &address).await?;
        }
        Ok(())
    })
}

async fn overload(kind: Kind, node: &Node, address: &str) -> TestResult {
    let rounds = std::env::var("BRAFT_OVERLOAD_ROUNDS").ok();
    let rounds = rounds.and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(MillClient::connect([address]).await?);
    }
    println!("\n{kind:?}");
    let mut peak = 0.0_f64;
    for at_once in AT_ONCE {
        let rate = closed_loop(kind, &clients, rounds, at_once).await;
        let under_way = CLIENTS * at_once;
        println!("closed loop, {under_way} calls under way: {rate:.0} calls/s");
        peak = peak.max(rate);
    }
    let (before, _) = node.memory()?;
    let used = |pid| processor_time(pid);
    let (ours, theirs) = (used(std::process::id())?, used(node.0.id())?);
    let began = Instant::now();
    let open = open_loop(kind, &clients, rounds, (2.0 * peak) as u64).await;
    let percent =
        |used: Duration| (100.0 * used.as_secs_f64() / began.elapsed().as_secs_f64()) as u64;
    open.print(peak);
    println!(
        "of a processor, the node used {} %, the clients {} %",
        percent(used(node.0.id())? - theirs),
        percent(used(std::process::id())? - ours)
    );
    let (after, most) = node.memory()?;
    println!("memory of the node: {before} MiB before, {after} MiB after, {most} MiB at most");
    Ok(())
}

fn value() -> String {
    "v".repeat(VALUE_BYTES)
}

async fn closed_loop(kind: Kind, clients: &[MillClient], rounds: u32, at_once: u64) -> f64 {
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = clients
        .iter()
        .flat_map(|client| (0..at_once).map(move |_| client.clone()))
        .map(|client| {
            let (stop, value) = (stop.clone(), value());
            tokio::spawn(async move {
                let mut answered = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    answered += u64::from(kind.call(&client, rounds, &value).await.is_ok());
                }
                answered
            })
        })
        .collect();
    let began = Instant::now();
    tokio::time::sleep(CLOSED).await;
    stop.store(true, Ordering::Relaxed);
    let mut answered = 0;
    for caller in callers {
        answered += caller.await.expect("a caller does not panic");
    }
    answered as f64 / began.elapsed().as_secs_f64()
}

/// Waits for a call, and tells the time it took from the time until its task ran.
struct Timed<F> {
    call: Pin<Box<F>>,
    bell: Arc<Bell>,
    begun: Option<Instant>,
    /// Between a wake and the poll after it, of all of them together.
    idle: Duration,
}

/// Rings when there is news of a call.
#[derive(Default)]
struct Bell {
    rung: Mutex<Option<Instant>>,
    task: AtomicWaker,
}

impl Bell {
    fn rung(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung().get_or_insert_with(Instant::now);
        self.task.wake();
    }
}

impl<F: Future> Timed<F> {
    fn new(call: F) -> Self {
        Timed {
            call: Box::pin(call),
            bell: Arc::default(),
            begun: None,
            idle: Duration::ZERO,
        }
    }
}

impl<F: Future> Future for Timed<F> {
    /// What came of it, the time it took, and the time its task was late.
    type Output = (F::Output, Duration, Duration);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let now = Instant::now();
        let this = &mut *self;
        let begun = *this.begun.get_or_insert(now);
        this.bell.task.register(context.waker());
        if let Some(rung) = this.bell.rung().take() {
            this.idle += now - rung;
        }
        let waker = Waker::from(this.bell.clone());
        let output = ready!(this.call.as_mut().poll(&mut Context::from_waker(&waker)));
        Poll::Ready((output, (now - begun).saturating_sub(this.idle), this.idle))
    }
}

/// What became of the calls of an open loop.
#[derive(Default)]
struct Open {
    begun: AtomicU64,
    /// Of those that succeeded, in microseconds.
    times: Mutex<Vec<u32>>,
    /// How long the tasks of all were late, in microseconds.
    late: Mutex<Vec<u32>>,
    busy: AtomicU64,
    unavailable: AtomicU64,
    unknown: AtomicU64,
    other: AtomicU64,
    longest_micros: AtomicU64,
}

async fn open_loop(kind: Kind, clients: &[MillClient], rounds: u32, per_second: u64) -> Arc<Open> {
    let open = Arc::new(Open::default());
    let value: Arc<str> = value().into();
    let began = Instant::now();
    let mut under_way = tokio::task::JoinSet::new();
    while began.elapsed() < OPEN {
        let due = (began.elapsed().as_secs_f64() * per_second as f64) as u64;
        for number in open.begun.load(Ordering::Relaxed)..due {
            let client = clients[(number % CLIENTS) as usize].clone();
            let (value, open) = (value.clone(), open.clone());
            let intended = began + Duration::from_secs_f64(number as f64 / per_second as f64);
            under_way.spawn(async move {
                let late = intended.elapsed();
                let call = Timed::new(kind.call(&client, rounds, &value));
                let (result, took, idle) = call.await;
                open.ended(result, took, late + idle);
            });
        }
        open.begun.fetch_max(due, Ordering::Relaxed);
        while under_way.try_join_next().is_some() {}
        tokio::time::sleep(TICK).await;
    }
    while under_way.join_next().await.is_some() {}
    open
}

fn sorted(times: &Mutex<Vec<u32>>) -> Vec<u32> {
    let mut times = times.lock().unwrap_or_else(PoisonError::into_inner).clone();
    times.sort_unstable();
    times
}

impl Open {
    fn ended(&self, result: Result<(), Error>, took: Duration, late: Duration) {
        let mut lates = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        lates.push(late.as_micros() as u32);
        drop(lates);
        let micros = took.as_micros() as u64;
        self.longest_micros.fetch_max(micros, Ordering::Relaxed);
        let count = match result.map_err(|error| error.kind()) {
            Ok(()) => {
                let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
                return times.push(micros as u32);
            }
            Err(ErrorKind::Busy) => &self.busy,
            Err(ErrorKind::Unavailable) => &self.unavailable,
            Err(ErrorKind::UnknownOutcome) => &self.unknown,
            Err(_) => &self.other,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn print(&self, peak: f64) {
        let times = sorted(&self.times);
        let late = sorted(&self.late);
        let answered = times.len() as f64 / OPEN.as_secs_f64();
        let at = |times: &[u32], part: usize| {
            times.get(times.len() * part / 100).copied().unwrap_or(0) / 1000
        };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let begun = count(&self.begun) as f64 / OPEN.as_secs_f64();
        println!(
            "open loop, {begun:.0} calls/s begun, {:.2} times the peak: {answered:.0} calls/s \
             answered, {:.0} % of the peak",
            begun / peak,
            100.0 * answered / peak
        );
        println!(
            "their times: {} ms median, {} ms of 99 in 100; the longest call of all {} ms, with \
             {DEADLINE:?} to go",
            at(&times, 50),
            at(&times, 99),
            count(&self.longest_micros) / 1000
        );
        println!(
            "beside that the clients' processor was late: {} ms in the median, {} ms of 99 in 100",
            at(&late, 50),
            at(&late, 99)
        );
        println!(
            "not made: {} busy, {} unavailable, {} of unknown outcome, {} other",
            count(&self.busy),
            count(&self.unavailable),
            count(&self.unknown),
            count(&self.other)
        );
    }
}
