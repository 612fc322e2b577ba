//! Disk, network and raft for the formation protocol.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_core::stream::BoxStream;
use futures_util::Stream;
use tokio::sync::{mpsc, oneshot, watch};
use tonic::transport::{Channel, Endpoint};

use super::formation::{Formation, Inbound, MemberSet, Message, Ports, PromiseRecord, run};
use crate::access::News;
use crate::codec;
use crate::discovery::{Discovery, PeerAddress, PeerSet};
use crate::error::Error;
use crate::net::Dialer;
use crate::raft::network::is_no_entry;
use crate::wire::v1 as pb;
use crate::wire::v1::cluster_client::ClusterClient;

/// The longest one message may travel, answer included.
const MESSAGE_TIMEOUT: Duration = Duration::from_millis(750);
/// Messages waiting for the protocol; further ones are refused.
const MAX_WAITING: usize = 256;
/// Connections kept; beyond it all are closed and made anew as needed.
const MAX_CONNECTIONS: usize = 256;
/// Addresses of invitations kept; beyond it the oldest goes.
const MAX_INVITED: usize = 16;

/// What the protocol needs of the node around it.
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
    fn join(&self, peer: PeerAddress) -> impl Future<Output = ()> + Send;
}

/// The way into the running protocol.
#[derive(Clone, Debug)]
pub(crate) struct Formed {
    inbox: mpsc::Sender<Inbound>,
    report: watch::Receiver<String>,
    invited: watch::Sender<Vec<PeerAddress>>,
}

impl Formed {
    /// Somebody wants this node in the cluster that is met at this address: it is looked at like any
    /// that discovery shows.
    pub(crate) fn invite(&self, member: PeerAddress) {
        self.invited.send_if_modified(|invited| {
            let is_news = !invited.contains(&member);
            if is_news {
                invited.truncate(MAX_INVITED - 1);
                invited.insert(0, member);
            }
            is_news
        });
    }

    /// Hands over a message from a peer; `None` if the protocol does not answer it.
    pub(crate) async fn message(&self, message: Message) -> Option<Message> {
        let (answer, answered) = oneshot::channel();
        let message = Box::new(message);
        self.inbox
            .try_send(Inbound::Message { message, answer })
            .ok()?;
        answered.await.ok().flatten()
    }

    /// Raft traffic of a cluster arrived here, and this node has no cluster.
    pub(crate) fn contacted(&self, cluster_id: u128) {
        let (admitted, _) = oneshot::channel();
        // Full: the sender comes again.
        drop(self.inbox.try_send(Inbound::Contacted {
            cluster_id,
            admitted,
        }));
    }

    /// Raft has its first entry.
    pub(crate) async fn initialized(&self) {
        drop(self.inbox.send(Inbound::Initialized).await);
    }

    /// What the node is waiting for.
    pub(crate) fn report(&self) -> String {
        self.report.borrow().clone()
    }
}

/// Starts the protocol. The future ends only with an error that has to stop the node.
pub(crate) fn start<H: Host>(
    formation: Formation,
    discovery: &dyn Discovery,
    host: Arc<H>,
    dialer: Dialer,
) -> (Formed, impl Future<Output = io::Result<()>> + Send + use<H>) {
    use futures_util::StreamExt;
    let (inbox, inbound) = mpsc::channel(MAX_WAITING);
    let (reporter, report) = watch::channel(String::new());
    let ports = NodePorts {
        host,
        dialer,
        reporter,
        connections: Mutex::default(),
        news: News::default(),
    };
    // A source that ends keeps its last set valid.
    let peers = discovery
        .peers()
        .chain(futures_util::stream::pending())
        .boxed();
    let (invited, invitations) = watch::channel(Vec::new());
    let peers = with_invitations(peers, invitations).boxed();
    (
        Formed {
            inbox,
            report,
            invited,
        },
        run(formation, Arc::new(ports), peers, inbound),
    )
}

/// What discovery shows, and where this node was invited to.
fn with_invitations(
    peers: BoxStream<'static, PeerSet>,
    invitations: watch::Receiver<Vec<PeerAddress>>,
) -> impl Stream<Item = PeerSet> {
    use futures_util::StreamExt;
    let begin = (peers, invitations, PeerSet::default());
    futures_util::stream::unfold(
        begin,
        |(mut peers, mut invitations, mut found)| async move {
            tokio::select! {
                set = peers.next() => found = set?,
                Ok(()) = invitations.changed() => {}
            }
            let mut set = found.clone();
            set.peers
                .extend(invitations.borrow_and_update().iter().cloned());
            Some((set, (peers, invitations, found)))
        },
    )
}

struct NodePorts<H> {
    host: Arc<H>,
    dialer: Dialer,
    reporter: watch::Sender<String>,
    connections: Mutex<HashMap<PeerAddress, Channel>>,
    news: News,
}

impl<H: Host> NodePorts<H> {
    fn connection(&self, to: &PeerAddress) -> Option<Channel> {
        let mut connections = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = connections.get(to) {
            return Some(channel.clone());
        }
        if connections.len() >= MAX_CONNECTIONS {
            connections.clear();
        }
        let endpoint = Endpoint::from_shared(format!("http://{to}")).ok()?;
        let endpoint = endpoint.tcp_nodelay(true).connect_timeout(MESSAGE_TIMEOUT);
        // Lazy: a peer that is down is tried again, and its name resolved again, with each message.
        let channel = self.dialer.connect_lazy(&endpoint);
        connections.insert(to.clone(), channel.clone());
        Some(channel)
    }
}

impl<H: Host> Ports for NodePorts<H> {
    async fn persist(&self, record: PromiseRecord) -> io::Result<()> {
        self.host.persist(&record).map_err(io::Error::other)
    }

    async fn send(&self, to: PeerAddress, message: Message) -> Option<Message> {
        let bytes = codec::encode(&message)
            .expect("numbers, strings, sets and maps always have a MessagePack form");
        let request = pb::FormationMessage {
            cluster_name: message.sender.cluster_name,
            from: message.sender.node_id,
            message: bytes.into(),
        };
        let mut client = ClusterClient::new(self.connection(&to)?);
        let call = client.formation(request);
        let answer = match tokio::time::timeout(MESSAGE_TIMEOUT, call).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => {
                let why = status.message();
                if is_no_entry(status.code()) && self.news.is_new(why) {
                    tracing::error!("the members refuse this node: {why}");
                }
                tracing::trace!(%to, %status, "no answer to a formation message");
                return None;
            }
            Err(_) => return None,
        };
        match codec::decode(&answer.message) {
            Ok(answer) => Some(answer),
            Err(error) => {
                tracing::warn!(%to, %error, "a formation message is unreadable");
                None
            }
        }
    }

    async fn initialize(&self, cluster_id: u128, members: MemberSet) -> io::Result<()> {
        let cluster = format!("{cluster_id:032x}");
        tracing::info!(cluster, nodes = members.len(), "forming the cluster");
        self.host
            .begin(cluster_id, Some(members))
            .await
            .map_err(io::Error::other)
    }

    async fn follow(&self, cluster_id: u128) -> io::Result<()> {
        tracing::info!(
            cluster = format!("{cluster_id:032x}"),
            "taken into the cluster"
        );
        self.host
            .begin(cluster_id, None)
            .await
            .map_err(io::Error::other)
    }

    async fn join(&self, _cluster_id: u128, peer: PeerAddress) {
        self.host.join(peer).await;
    }

    fn report(&self, status: String) {
        tracing::info!("{status}");
        self.reporter.send_replace(status);
    }
}
