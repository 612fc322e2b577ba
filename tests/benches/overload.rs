//! Twice the load that a node can carry: throughput, times and memory.
//!
//! `cargo bench -p tests --bench overload`. One node in a process of its own, clients in this one,
//! on the same processors. First what it carries, in a closed loop; then twice as many writes begin
//! as that, at even times, whether or not those before have ended.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use braft::testing::TestResult;
use braft::{Client, ErrorKind};
use tests::LedgerClient;

/// Clients that share nothing: a session and a stream each.
const CLIENTS: u64 = 32;
/// Calls of one client under way at once in the closed loop.
const AT_ONCE: [u64; 3] = [8, 32, 128];
const CLOSED: Duration = Duration::from_secs(4);
const OPEN: Duration = Duration::from_secs(10);
/// The whole time of one call.
const DEADLINE: Duration = Duration::from_secs(1);
/// Ids that are written: the state stays small.
const IDS: u64 = 4096;
const TICK: Duration = Duration::from_millis(2);
const VALUE_BYTES: usize = 256;

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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime
        .block_on(measure())
        .map_err(|error| error.to_string().into())
}

async fn measure() -> TestResult {
    let directory = tempfile::tempdir()?;
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let address = free.to_string();
    let node = Node::start(directory.path(), &address)?;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(LedgerClient::connect([&address]).await?);
    }
    let mut peak = 0.0_f64;
    for at_once in AT_ONCE {
        let rate = closed_loop(&clients, at_once).await;
        println!(
            "closed loop, {} calls under way: {rate:.0} writes/s",
            CLIENTS * at_once
        );
        peak = peak.max(rate);
    }
    let (before, _) = node.memory()?;
    let open = open_loop(&clients, (2.0 * peak) as u64).await;
    let (after, most) = node.memory()?;
    open.print(peak);
    println!("memory of the node: {before} MiB before, {after} MiB after, {most} MiB at most");
    Ok(())
}

fn value() -> String {
    "v".repeat(VALUE_BYTES)
}

async fn closed_loop(clients: &[LedgerClient], at_once: u64) -> f64 {
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = clients
        .iter()
        .flat_map(|client| (0..at_once).map(move |_| client.clone()))
        .zip(0..)
        .map(|(client, first)| {
            let (stop, value) = (stop.clone(), value());
            tokio::spawn(async move {
                let (mut id, mut written) = (first, 0_u64);
                while !stop.load(Ordering::Relaxed) {
                    id += 1;
                    written += u64::from(client.record(id % IDS, &value).await.is_ok());
                }
                written
            })
        })
        .collect();
    let began = Instant::now();
    tokio::time::sleep(CLOSED).await;
    stop.store(true, Ordering::Relaxed);
    let mut written = 0;
    for caller in callers {
        written += caller.await.expect("a caller does not panic");
    }
    written as f64 / began.elapsed().as_secs_f64()
}

/// What became of the calls of an open loop.
#[derive(Default)]
struct Open {
    begun: AtomicU64,
    /// Of those that succeeded, in microseconds.
    times: Mutex<Vec<u32>>,
    busy: AtomicU64,
    unavailable: AtomicU64,
    unknown: AtomicU64,
    other: AtomicU64,
    longest_micros: AtomicU64,
}

async fn open_loop(clients: &[LedgerClient], per_second: u64) -> Arc<Open> {
    let open = Arc::new(Open::default());
    let value: Arc<str> = value().into();
    let began = Instant::now();
    let mut under_way = tokio::task::JoinSet::new();
    while began.elapsed() < OPEN {
        let due = (began.elapsed().as_secs_f64() * per_second as f64) as u64;
        for number in open.begun.load(Ordering::Relaxed)..due {
            let client = clients[(number % CLIENTS) as usize].clone();
            under_way.spawn(write(client, number, value.clone(), open.clone()));
        }
        open.begun.fetch_max(due, Ordering::Relaxed);
        while under_way.try_join_next().is_some() {}
        tokio::time::sleep(TICK).await;
    }
    while under_way.join_next().await.is_some() {}
    open
}

async fn write(client: LedgerClient, number: u64, value: Arc<str>, open: Arc<Open>) {
    let began = Instant::now();
    let result = client.record(number % IDS, &value).deadline(DEADLINE).await;
    let micros = began.elapsed().as_micros() as u64;
    open.longest_micros.fetch_max(micros, Ordering::Relaxed);
    let count = match result.map_err(|error| error.kind()) {
        Ok(_) => {
            let mut times = open.times.lock().unwrap_or_else(PoisonError::into_inner);
            return times.push(micros as u32);
        }
        Err(ErrorKind::Busy) => &open.busy,
        Err(ErrorKind::Unavailable) => &open.unavailable,
        Err(ErrorKind::UnknownOutcome) => &open.unknown,
        Err(_) => &open.other,
    };
    count.fetch_add(1, Ordering::Relaxed);
}

impl Open {
    fn print(&self, peak: f64) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.sort_unstable();
        let written = times.len() as f64 / OPEN.as_secs_f64();
        let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or(0) / 1000;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        println!(
            "open loop, {:.0} writes/s begun: {written:.0} writes/s, {:.0} % of the peak",
            count(&self.begun) as f64 / OPEN.as_secs_f64(),
            100.0 * written / peak
        );
        println!(
            "their times: {} ms median, {} ms of 99 in 100; the longest call of all {} ms, with \
             {DEADLINE:?} to go",
            at(50),
            at(99),
            count(&self.longest_micros) / 1000
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
