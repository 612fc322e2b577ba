//! One run: the cluster, its clients and its faults, and the verdict.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use braft::Client;
use tokio::task::JoinHandle;

use crate::clients::{self, Ids, KEYS, LAST_KEY};
use crate::cluster::Cluster;
use crate::fault::Fault;
use crate::history::{Call, Entry, Fate, Level, Recording, Told};
use crate::nemesis::{Nemesis, Outcome};
use crate::service::RegistersClient;
use crate::tools::Tools;
use crate::verdict::{self, End};

/// How long the cluster may take to form, and to answer at the end.
const PATIENCE: Duration = Duration::from_secs(60);
/// Ids asked about in one query.
const IDS_PER_QUERY: usize = 20_000;
const SUBSCRIBERS: usize = 2;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How large a run is.
pub(crate) struct Size {
    pub(crate) nodes: usize,
    pub(crate) clients: u64,
    pub(crate) length: Duration,
    pub(crate) seed: u64,
    /// How many times longer than by default the nodes' timers are.
    pub(crate) timers: u32,
    /// Whether syncs do nothing, which has to be found out.
    pub(crate) lying: bool,
}

/// What a run has shown.
pub(crate) struct Shown {
    pub(crate) outcome: Outcome,
    /// When writes were acknowledged, in order.
    pub(crate) acknowledged: Vec<Duration>,
    pub(crate) reads: u64,
    pub(crate) unknown: u64,
    pub(crate) refused: u64,
    pub(crate) events: usize,
    /// Subscribers that were told that they had missed events.
    pub(crate) gapped: usize,
    pub(crate) harmed: (u64, u64),
    /// What is wrong.
    pub(crate) wrong: Vec<String>,
}

struct Run<'a> {
    cluster: Cluster,
    recording: Arc<Recording>,
    registers: RegistersClient,
    ids: Arc<Ids>,
    directory: &'a Path,
}

/// Runs it, and writes what the clients saw into `directory`.
pub(crate) fn run(
    size: &Size,
    tools: &Tools,
    faults: &[Fault],
    directory: &Path,
    tell: &mut dyn FnMut(&Recording, &str),
) -> io::Result<Shown> {
    let cluster = Cluster::start(
        size.nodes,
        (size.timers, size.lying),
        tools,
        directory,
        size.seed,
    )?;
    let registers = connected(&cluster)?;
    let run = Run {
        recording: Arc::new(Recording::new()),
        ids: Arc::default(),
        cluster,
        registers,
        directory,
    };
    run.go_on(size, tools, faults, tell)
}

/// A client, once the cluster serves.
fn connected(cluster: &Cluster) -> io::Result<RegistersClient> {
    let addresses = cluster.addresses();
    until("the cluster to serve", || {
        cluster.runtime.block_on(async {
            let registers = RegistersClient::connect(&addresses).await;
            let registers = registers.map_err(|error| error.to_string())?;
            match registers.get(0).await {
                Ok(_) => Ok(registers),
                Err(error) => Err(error.to_string()),
            }
        })
    })
}

/// Tries until there is something, or says what was missing.
fn until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> io::Result<T> {
    let since = Instant::now();
    loop {
        match look() {
            Ok(seen) => return Ok(seen),
            Err(why) if since.elapsed() > PATIENCE => {
                return Err(io::Error::other(format!(
                    "waited {PATIENCE:?} in vain for {what}: {why}"
                )));
            }
            Err(_) => std::thread::sleep(LOOK_EVERY),
        }
    }
}

impl Run<'_> {
    fn go_on(
        mut self,
        size: &Size,
        tools: &Tools,
        faults: &[Fault],
        tell: &mut dyn FnMut(&Recording, &str),
    ) -> io::Result<Shown> {
        let calling = self.call(size)?;
        let subscribing: Vec<_> = (0..SUBSCRIBERS)
            .map(|_| {
                let subscribing = clients::subscribe(self.registers.clone());
                self.cluster.runtime.spawn(subscribing)
            })
            .collect();
        let recording = Arc::clone(&self.recording);
        let nemesis = Nemesis::new(&mut self.cluster, tools, &recording, faults, size.seed);
        let mut outcome = nemesis.run(size.length, &mut |now| tell(&recording, now));
        self.recording.stop.store(true, Ordering::Relaxed);
        self.cluster.runtime.block_on(async {
            for calling in calling {
                calling.await.map_err(io::Error::other)?;
            }
            io::Result::Ok(())
        })?;
        let ended = self.end(subscribing);
        self.recording.save(self.directory)?;
        let mut wrong = std::mem::take(&mut outcome.findings);
        let entries = std::mem::take(&mut *self.recording.entries());
        let (mut events, mut gapped) = (0, 0);
        match ended {
            Ok((end, told)) => {
                events = told.iter().map(|told| told.events.len()).sum();
                gapped = told.iter().filter(|told| told.is_gapped).count();
                wrong.extend(verdict::judge(&entries, &told, &end));
            }
            Err(error) => wrong.push(format!("the end could not be looked at: {error}")),
        }
        wrong.extend(self.panics());
        let mut acknowledged: Vec<_> = entries.iter().filter(|entry| is_write(entry)).collect();
        acknowledged.sort_by_key(|entry| entry.ended);
        let count = |wanted: fn(&Fate) -> bool| {
            entries.iter().filter(|entry| wanted(&entry.fate)).count() as u64
        };
        Ok(Shown {
            outcome,
            acknowledged: acknowledged.iter().map(|entry| entry.ended).collect(),
            reads: self.recording.reads.load(Ordering::Relaxed),
            unknown: count(|fate| matches!(fate, Fate::Unknown(_))),
            refused: count(|fate| matches!(fate, Fate::Refused(_))),
            events,
            gapped,
            harmed: self
                .cluster
                .network
                .as_ref()
                .map(|network| network.harmed())
                .unwrap_or_default(),
            wrong,
        })
    }

    /// Starts the clients; each enters at another node.
    fn call(&self, size: &Size) -> io::Result<Vec<JoinHandle<()>>> {
        let mut calling = Vec::new();
        for client in 0..size.clients {
            let mut addresses = self.cluster.addresses();
            let first = client as usize % addresses.len();
            addresses.rotate_left(first);
            let connecting = RegistersClient::connect(addresses);
            let registers = self.cluster.runtime.block_on(connecting);
            calling.push(self.cluster.runtime.spawn(clients::call(
                registers.map_err(io::Error::other)?,
                client,
                size.seed,
                Arc::clone(&self.ids),
                Arc::clone(&self.recording),
            )));
        }
        Ok(calling)
    }

    /// Reads all there is, and waits until the replicas are equal and the subscribers are told.
    fn end(&self, subscribing: Vec<JoinHandle<Told>>) -> io::Result<(End, Vec<Told>)> {
        for key in 0..KEYS {
            let level = Level::Linearizable;
            self.finally(|| Call::Get { key, level })?;
        }
        let tried = verdict::tried(&self.recording.entries());
        let mut end = End::default();
        for ids in tried.chunks(IDS_PER_QUERY) {
            let missing = self.ask(|registers| async move { registers.missing(ids).await })?;
            end.missing.extend(missing);
        }
        end.doubled = self.ask(|registers| async move { registers.doubled().await })?;
        self.finally(|| Call::Swap {
            key: LAST_KEY,
            id: self.ids.fresh(),
        })?;
        self.equal()?;
        let told = self.cluster.runtime.block_on(async {
            let mut all = Vec::new();
            for subscribing in subscribing {
                let told = tokio::time::timeout(PATIENCE, subscribing).await;
                all.push(told.map_err(io::Error::other)?.map_err(io::Error::other)?);
            }
            io::Result::Ok(all)
        })?;
        Ok((end, told))
    }

    /// A call of the harness itself, which becomes a part of the history.
    fn finally(&self, call: impl Fn() -> Call) -> io::Result<()> {
        until("a call at the end", || {
            let call = call();
            let began = self.recording.start.elapsed();
            let making = clients::make(&self.registers, call);
            let fate = self.cluster.runtime.block_on(making);
            let result = match &fate {
                Fate::Answered(_) => Ok(()),
                other => Err(format!("{other:?}")),
            };
            self.recording.note(Entry {
                client: u64::MAX,
                call,
                began,
                ended: self.recording.start.elapsed(),
                fate,
            });
            result
        })
    }

    fn ask<T, F: Future<Output = Result<T, braft::Error>>>(
        &self,
        ask: impl Fn(RegistersClient) -> F,
    ) -> io::Result<T> {
        until("an answer at the end", || {
            let asked = ask(self.registers.clone());
            let answer = self.cluster.runtime.block_on(asked);
            answer.map_err(|error| error.to_string())
        })
    }

    /// Waits until each node's own state is the same as that of the leader.
    fn equal(&self) -> io::Result<()> {
        let wanted = self.ask(|registers| async move { registers.fingerprint().await })?;
        for node in 0..self.cluster.len() {
            let address = self.cluster.address(node);
            until(&format!("node {node} to be equal to the others"), || {
                let fingerprint = self.cluster.runtime.block_on(async {
                    let registers = RegistersClient::connect([&address]).await?;
                    registers.fingerprint().local().await
                });
                match fingerprint {
                    Ok(fingerprint) if fingerprint == wanted => Ok(()),
                    Ok(other) => Err(format!("{other:?} instead of {wanted:?}")),
                    Err(error) => Err(error.to_string()),
                }
            })?;
        }
        let views = until("each node to tell how it is", || {
            let views = self.cluster.views().into_iter().enumerate();
            let views = views.map(|(node, view)| view.ok_or(format!("node {node} tells nothing")));
            views.collect::<Result<Vec<_>, _>>()
        })?;
        for (node, view) in views.into_iter().enumerate() {
            if let Some(trouble) = view.trouble {
                return Err(io::Error::other(format!("node {node}: {trouble}")));
            }
        }
        Ok(())
    }

    /// Panics of the nodes, by their logs.
    fn panics(&self) -> Vec<String> {
        let nodes = 0..self.cluster.len();
        let of = |node| {
            let log = self.cluster.log(node);
            let lines = log.lines().filter(|line| line.contains("panicked at"));
            let lines = lines.map(|line| format!("node {node}: {line}"));
            lines.collect::<Vec<_>>()
        };
        nodes.flat_map(of).collect()
    }
}

fn is_write(entry: &Entry) -> bool {
    entry.call.id().is_some() && matches!(entry.fate, Fate::Answered(_))
}
