//! Carries the formation protocol out: disk, network and clock for [`Formation`].

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tonic::transport::{Channel, Endpoint};

use super::formation::{Action, Event, Formation, MemberSet, Message, PromiseRecord, Timing};
use crate::codec;
use crate::discovery::{Discovery, PeerAddress, PeerSet};
use crate::error::Error;
use crate::net::Dialer;
use crate::wire::v1 as pb;
use crate::wire::v1::cluster_client::ClusterClient;

/// The longest one message may travel, answer included.
const MESSAGE_TIMEOUT: Duration = Duration::from_millis(750);
/// Messages under way at once; further ones are dropped, as the network might do.
const MAX_MESSAGES_UNDER_WAY: usize = 128;
/// Messages waiting for the protocol; further ones are refused.
const MAX_WAITING: usize = 256;
/// Connections kept; beyond it all are closed and made anew as needed.
const MAX_CONNECTIONS: usize = 256;

/// What the driver needs of the node around it.
pub(crate) trait Host: Send + Sync + 'static {
    /// Writes the promise record; it is on disk when this returns.
    fn persist(&self, record: &PromiseRecord) -> Result<(), Error>;

    /// Writes the cluster id and starts raft; initializes it with `members` unless it has state.
    fn begin(
        &self,
        cluster_id: u128,
        members: Option<MemberSet>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Asks to be taken into the cluster, at one of its members.
    fn join(&self, cluster_id: u128, peer: PeerAddress) -> impl Future<Output = ()> + Send;
}

enum Ask {
    Message(Box<Message>, Option<oneshot::Sender<Message>>),
    Contacted(u128),
}

/// The way into a running driver.
#[derive(Clone, Debug)]
pub(crate) struct Formed {
    asks: mpsc::Sender<Ask>,
    report: watch::Receiver<String>,
}

impl Formed {
    /// Hands over a message from a peer; `None` if the protocol does not answer it.
    pub(crate) async fn message(&self, message: Message) -> Option<Message> {
        let (reply, answer) = oneshot::channel();
        self.asks.try_send(Ask::Message(Box::new(message), Some(reply))).ok()?;
        answer.await.ok()
    }

    /// Raft traffic of a cluster arrived here, and this node has no cluster.
    pub(crate) fn contacted(&self, cluster_id: u128) {
        // Full: the sender comes again.
        drop(self.asks.try_send(Ask::Contacted(cluster_id)));
    }

    /// What the node is waiting for.
    pub(crate) fn report(&self) -> String {
        self.report.borrow().clone()
    }
}

/// Starts the driver. It ends with an error that stops the node, or when its task is aborted.
pub(crate) fn start<H: Host>(
    formation: Formation,
    timing: Timing,
    discovery: &dyn Discovery,
    host: Arc<H>,
    dialer: Dialer,
) -> (Formed, impl Future<Output = Error> + Send + use<H>) {
    let (asks, waiting) = mpsc::channel(MAX_WAITING);
    let (reporter, report) = watch::channel(String::new());
    let driver = Driver {
        formation,
        tick: timing.tick,
        host,
        dialer,
        asks: asks.clone(),
        reporter,
        connections: HashMap::new(),
        under_way: Arc::new(Semaphore::new(MAX_MESSAGES_UNDER_WAY)),
        started: Instant::now(),
        joining: Arc::new(Semaphore::new(1)),
    };
    let peers = discovery.peers();
    (Formed { asks, report }, driver.run(peers, waiting))
}

struct Driver<H> {
    formation: Formation,
    tick: Duration,
    host: Arc<H>,
    dialer: Dialer,
    asks: mpsc::Sender<Ask>,
    reporter: watch::Sender<String>,
    connections: HashMap<PeerAddress, Channel>,
    under_way: Arc<Semaphore>,
    started: Instant,
    joining: Arc<Semaphore>,
}

impl<H: Host> Driver<H> {
    async fn run(
        mut self,
        mut peers: BoxStream<'static, PeerSet>,
        mut waiting: mpsc::Receiver<Ask>,
    ) -> Error {
        let mut ticks = tokio::time::interval(self.tick);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut discovering = true;
        loop {
            let (event, reply) = tokio::select! {
                _ = ticks.tick() => (Event::Tick, None),
                set = peers.next(), if discovering => match set {
                    Some(set) => (Event::Discovered(set.peers), None),
                    // A source that ends keeps its last set valid.
                    None => { discovering = false; continue }
                },
                Some(ask) = waiting.recv() => match ask {
                    Ask::Message(message, reply) => (Event::Received(message), reply),
                    Ask::Contacted(cluster_id) => (Event::Contacted(cluster_id), None),
                },
            };
            if let Err(error) = self.step(event, reply).await {
                return error;
            }
        }
    }

    async fn step(
        &mut self,
        event: Event,
        mut reply: Option<oneshot::Sender<Message>>,
    ) -> Result<(), Error> {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.formation.handle(event, self.started.elapsed()) {
                match action {
                    Action::Persist(record) => self.host.persist(&record)?,
                    Action::Send { to, message } => self.send(to, &message),
                    Action::Reply(message) => {
                        if let Some(reply) = reply.take() {
                            drop(reply.send(message));
                        }
                    }
                    Action::Initialize { cluster_id, members } => {
                        tracing::info!(
                            cluster = format!("{cluster_id:032x}"),
                            nodes = members.len(),
                            "forming the cluster"
                        );
                        self.host.begin(cluster_id, Some(members)).await?;
                        events.push(Event::Started { cluster_id, initialized: true });
                    }
                    Action::Follow { cluster_id } => {
                        tracing::info!(
                            cluster = format!("{cluster_id:032x}"),
                            "taken into the cluster"
                        );
                        self.host.begin(cluster_id, None).await?;
                        events.push(Event::Started { cluster_id, initialized: false });
                    }
                    Action::Join { cluster_id, peer } => self.join(cluster_id, peer),
                    Action::Report(text) => {
                        tracing::info!("{text}");
                        self.reporter.send_replace(text);
                    }
                }
            }
        }
        Ok(())
    }

    fn join(&self, cluster_id: u128, peer: PeerAddress) {
        // One request at a time: the protocol asks again.
        let Ok(permit) = self.joining.clone().try_acquire_owned() else {
            return;
        };
        let host = self.host.clone();
        tokio::spawn(async move {
            host.join(cluster_id, peer).await;
            drop(permit);
        });
    }

    fn connection(&mut self, to: &PeerAddress) -> Option<Channel> {
        if let Some(channel) = self.connections.get(to) {
            return Some(channel.clone());
        }
        if self.connections.len() >= MAX_CONNECTIONS {
            self.connections.clear();
        }
        let endpoint = Endpoint::from_shared(format!("http://{to}")).ok()?;
        let endpoint = endpoint.tcp_nodelay(true).connect_timeout(MESSAGE_TIMEOUT);
        // Lazy: a peer that is down is tried again with each message.
        let channel = self.dialer.connect_lazy(&endpoint);
        self.connections.insert(to.clone(), channel.clone());
        Some(channel)
    }

    fn send(&mut self, to: PeerAddress, message: &Message) {
        let Ok(permit) = self.under_way.clone().try_acquire_owned() else {
            return;
        };
        let Some(channel) = self.connection(&to) else {
            return;
        };
        let bytes = codec::encode(message)
            .expect("numbers, strings, sets and maps always have a MessagePack form");
        let request = pb::FormationMessage {
            cluster_name: message.sender.cluster_name.clone(),
            from: message.sender.node_id,
            message: bytes.into(),
        };
        let asks = self.asks.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let mut client = ClusterClient::new(channel);
            let call = client.formation(request);
            let answer = match tokio::time::timeout(MESSAGE_TIMEOUT, call).await {
                Ok(Ok(answer)) => answer.into_inner(),
                Ok(Err(status)) => {
                    tracing::trace!(%to, %status, "no answer to a formation message");
                    return;
                }
                Err(_) => return,
            };
            match codec::decode::<Message>(&answer.message) {
                Ok(answer) => drop(asks.send(Ask::Message(Box::new(answer), None)).await),
                Err(error) => tracing::warn!(%to, %error, "a formation message is unreadable"),
            }
        });
    }
}
