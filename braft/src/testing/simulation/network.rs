//! A network in memory: connections with delays, that stall where it is cut and break where a host
//! loses its power.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::context::Rng;
use crate::net::{Connecting, Net};
use crate::siphash::siphash_2_4_128;

/// Stream of random numbers.
const DELAYS: u32 = u32::MAX - 2;
/// Bytes on their way in one direction of a connection before the sender waits.
const PIPE_BYTES: usize = 64 << 10;
/// Bytes that arrive together at most.
const CHUNK_BYTES: usize = 16 << 10;
/// How long bytes are on their way.
const MIN_DELAY_US: u64 = 50;
const MAX_DELAY_US: u64 = 1_000;
/// Of so many chunks one takes much longer.
const SLOW_ONE_IN: u64 = 200;
const SLOW_US: u64 = 40_000;

/// A network; clones share it.
#[derive(Clone)]
pub(crate) struct Network(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Counts changes of the cuts.
    changes: watch::Sender<u64>,
}

struct State {
    seed: u64,
    /// For the delays of each way, so that what goes one way shifts nothing on another.
    rngs: BTreeMap<(String, String), Rng>,
    hosts: BTreeMap<String, Host>,
    /// Ways on which nothing arrives.
    cuts: BTreeSet<(String, String)>,
    /// Ends when all connections are to break.
    lines: CancellationToken,
}

/// A host that takes connections.
struct Host {
    connections: mpsc::UnboundedSender<DuplexStream>,
    /// Ends with its power.
    power: CancellationToken,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        Network(Arc::new(Shared {
            state: Mutex::new(State {
                seed,
                rngs: BTreeMap::new(),
                hosts: BTreeMap::new(),
                cuts: BTreeSet::new(),
                lines: CancellationToken::new(),
            }),
            changes: watch::Sender::new(0),
        }))
    }

    /// The network as the host at this address sees it.
    pub(crate) fn at(&self, address: &str) -> Arc<dyn Net> {
        Arc::new(At {
            network: self.clone(),
            address: address.to_owned(),
            power: OnceLock::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets nothing arrive on the way from one host to another.
    pub(crate) fn cut(&self, from: &str, to: &str) {
        self.state().cuts.insert((from.to_owned(), to.to_owned()));
        self.0.changes.send_modify(|count| *count += 1);
    }

    /// Undoes all cuts: what has stalled arrives.
    pub(crate) fn heal(&self) {
        self.state().cuts.clear();
        self.0.changes.send_modify(|count| *count += 1);
    }

    /// Breaks all connections of a host, at once; it takes no others until it listens again.
    pub(crate) fn power_off(&self, address: &str) {
        if let Some(host) = self.state().hosts.remove(address) {
            host.power.cancel();
        }
    }

    /// Breaks all connections; new ones can be made at once.
    pub(crate) fn break_connections(&self) {
        std::mem::take(&mut self.state().lines).cancel();
    }

    fn delay(&self, from: &str, to: &str) -> Duration {
        let mut state = self.state();
        let seed = state.seed;
        let way = (from.to_owned(), to.to_owned());
        let rng = state.rngs.entry(way).or_insert_with(|| {
            let hash = siphash_2_4_128([seed, 0], format!("{from} {to}").as_bytes());
            Rng::new(hash as u64, DELAYS)
        });
        let micros = if rng.below(SLOW_ONE_IN) == 0 {
            SLOW_US
        } else {
            MIN_DELAY_US + rng.below(MAX_DELAY_US - MIN_DELAY_US)
        };
        Duration::from_micros(micros)
    }

    /// Waits until the way is open.
    async fn open(&self, from: &str, to: &str) {
        let mut changes = self.0.changes.subscribe();
        let way = (from.to_owned(), to.to_owned());
        while self.state().cuts.contains(&way) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    async fn connect(
        self,
        from: String,
        to: String,
        own: CancellationToken,
    ) -> io::Result<DuplexStream> {
        tokio::time::sleep(self.delay(&from, &to)).await;
        self.open(&from, &to).await;
        self.open(&to, &from).await;
        let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, "nobody listens there");
        if own.is_cancelled() {
            return Err(io::Error::other("this host has lost its power"));
        }
        let (ours, near) = duplex(PIPE_BYTES);
        let (far, theirs) = duplex(PIPE_BYTES);
        let (power, lines) = {
            let state = self.state();
            let host = state.hosts.get(&to).ok_or_else(refused)?;
            host.connections.send(theirs).map_err(|_| refused())?;
            (host.power.clone(), state.lines.clone())
        };
        let (near_out, near_in) = split(near);
        let (far_out, far_in) = split(far);
        let there = carry(self.clone(), from.clone(), to.clone(), near_out, far_in);
        let back = carry(self.clone(), to, from, far_out, near_in);
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = power.cancelled() => {}
                () = own.cancelled() => {}
                () = lines.cancelled() => {}
                ((), ()) = async { tokio::join!(there, back) } => {}
            }
        });
        Ok(ours)
    }
}

/// Carries bytes in one direction until one side is closed.
async fn carry(
    network: Network,
    from: String,
    to: String,
    mut source: ReadHalf<DuplexStream>,
    mut sink: WriteHalf<DuplexStream>,
) {
    let mut bytes = vec![0; CHUNK_BYTES];
    let mut arrival = Instant::now();
    while let Ok(count @ 1..) = source.read(&mut bytes).await {
        // What was sent later does not overtake.
        arrival = arrival.max(Instant::now() + network.delay(&from, &to));
        sleep_until(arrival).await;
        network.open(&from, &to).await;
        if sink.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
    drop(sink.shutdown().await);
}

#[derive(Debug)]
struct At {
    network: Network,
    address: String,
    /// That of the host in this life, once it listens; a client has none to lose.
    power: OnceLock<CancellationToken>,
}

impl Net for At {
    fn connect(&self, to: &str) -> Connecting<DuplexStream> {
        let (network, from) = (self.network.clone(), self.address.clone());
        let power = self.power.get().cloned().unwrap_or_default();
        Box::pin(network.connect(from, to.to_owned(), power))
    }

    fn listen(&self) -> mpsc::UnboundedReceiver<DuplexStream> {
        let (connections, taken) = mpsc::unbounded_channel();
        let power = CancellationToken::new();
        drop(self.power.set(power.clone()));
        let host = Host { connections, power };
        self.network
            .state()
            .hosts
            .insert(self.address.clone(), host);
        taken
    }
}
