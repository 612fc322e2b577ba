//! Runs a [`Formation`] on tokio: time, discovery, messages in, actions out.

use std::{future::Future, io, sync::Arc};

use futures_core::stream::BoxStream;
use futures_util::StreamExt as _;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

use super::{Action, Event, Formation, MemberSet, Message, PromiseRecord};
use crate::discovery::{PeerAddress, PeerSet};

/// Most messages on their way at a time; more are dropped, as if lost, and sent again later.
const MAX_IN_FLIGHT: usize = 512;

/// How [`run`] reaches the disk, the network and raft.
///
/// # Correctness
/// - `persist`, `initialize` and `follow` return only when what they wrote is durable.
/// - `initialize` succeeds when raft's log is not empty, too: then another node was quicker.
/// - `send` and `join` end by themselves: each has a deadline.
pub(crate) trait Ports: Send + Sync + 'static {
    /// Writes and syncs the record.
    fn persist(&self, record: PromiseRecord) -> impl Future<Output = io::Result<()>> + Send;
    /// Sends a message and waits for the response to it; `None` when there is none.
    fn send(
        &self,
        to: PeerAddress,
        message: Message,
    ) -> impl Future<Output = Option<Message>> + Send;
    /// See [`Action::Initialize`].
    fn initialize(
        &self,
        cluster_id: u128,
        members: MemberSet,
    ) -> impl Future<Output = io::Result<()>> + Send;
    /// See [`Action::Follow`].
    fn follow(&self, cluster_id: u128) -> impl Future<Output = io::Result<()>> + Send;
    /// See [`Action::Join`].
    fn join(&self, cluster_id: u128, peer: PeerAddress) -> impl Future<Output = ()> + Send;
    /// See [`Action::Report`].
    fn report(&self, status: String);
}

/// What the node's servers hand to [`run`].
#[derive(Debug)]
pub(crate) enum Inbound {
    /// A message came in; the response to it, if there is one, goes back.
    Message {
        /// The message.
        message: Box<Message>,
        /// Takes the response.
        answer: oneshot::Sender<Option<Message>>,
    },
    /// Raft traffic came in while there was no cluster id, or another one, on disk.
    Contacted {
        /// Cluster it belongs to.
        cluster_id: u128,
        /// Takes whether it may come in. When true, the cluster id is durable.
        admitted: oneshot::Sender<bool>,
    },
    /// Raft has its first entry.
    Initialized,
}

/// Runs the protocol until `inbox` is closed, on members too: they answer the others' probes.
///
/// `discovered` must not end before that. The state machine must be new, not yet fed.
///
/// # Errors
/// When something could not be made durable. The node must stop: what it may say is unknown.
pub(crate) async fn run<P: Ports>(
    formation: Formation,
    ports: Arc<P>,
    mut discovered: BoxStream<'static, PeerSet>,
    mut inbox: mpsc::Receiver<Inbound>,
) -> io::Result<()> {
    let mut tick = tokio::time::interval(formation.timing.tick);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut driver = Driver {
        formation,
        ports,
        in_flight: JoinSet::new(),
        start: Instant::now(),
    };
    loop {
        tokio::select! {
            _ = tick.tick() => {
                driver.feed(Event::Tick).await?;
            }
            Some(set) = discovered.next() => {
                driver.feed(Event::Discovered(set)).await?;
            }
            Some(done) = driver.in_flight.join_next() => {
                if let Ok(Some(response)) = done {
                    driver.feed(Event::Received(Box::new(response))).await?;
                }
            }
            inbound = inbox.recv() => match inbound {
                Some(inbound) => driver.receive(inbound).await?,
                None => return Ok(()),
            },
        }
    }
}

struct Driver<P> {
    formation: Formation,
    ports: Arc<P>,
    /// Sends and joins; ends with the driver.
    in_flight: JoinSet<Option<Message>>,
    start: Instant,
}

impl<P: Ports> Driver<P> {
    async fn receive(&mut self, inbound: Inbound) -> io::Result<()> {
        // Whoever asked may have given up: then there is nobody to answer.
        match inbound {
            Inbound::Message { message, answer } => {
                let reply = self.feed(Event::Received(message)).await?;
                let _ = answer.send(reply);
            }
            Inbound::Contacted {
                cluster_id,
                admitted,
            } => {
                self.feed(Event::Contacted(cluster_id)).await?;
                let _ = admitted.send(self.formation.cluster_id() == Some(cluster_id));
            }
            Inbound::Initialized => {
                if let Some(cluster_id) = self.formation.cluster_id() {
                    self.feed(Event::Started {
                        cluster_id,
                        initialized: true,
                    })
                    .await?;
                }
            }
        }
        Ok(())
    }

    /// Feeds one event and what follows from it; returns the reply, if there is one.
    async fn feed(&mut self, event: Event) -> io::Result<Option<Message>> {
        let mut reply = None;
        let mut next = Some(event);
        while let Some(event) = next.take() {
            for action in self.formation.handle(event, self.start.elapsed()) {
                match action {
                    Action::Persist(record) => self.ports.persist(record).await?,
                    Action::Send { to, message } => self.send(to, message),
                    Action::Reply(message) => reply = Some(message),
                    Action::Initialize {
                        cluster_id,
                        members,
                    } => {
                        self.ports.initialize(cluster_id, members).await?;
                        next = Some(Event::Started {
                            cluster_id,
                            initialized: true,
                        });
                    }
                    Action::Follow { cluster_id } => {
                        self.ports.follow(cluster_id).await?;
                        next = Some(Event::Started {
                            cluster_id,
                            initialized: false,
                        });
                    }
                    Action::Join { cluster_id, peer } => self.join(cluster_id, peer),
                    Action::Report(status) => self.ports.report(status),
                }
            }
        }
        Ok(reply)
    }

    fn send(&mut self, to: PeerAddress, message: Message) {
        if self.in_flight.len() < MAX_IN_FLIGHT {
            let ports = Arc::clone(&self.ports);
            self.in_flight
                .spawn(async move { ports.send(to, message).await });
        }
    }

    fn join(&mut self, cluster_id: u128, peer: PeerAddress) {
        if self.in_flight.len() < MAX_IN_FLIGHT {
            let ports = Arc::clone(&self.ports);
            self.in_flight.spawn(async move {
                ports.join(cluster_id, peer).await;
                None
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Mutex};

    use tokio::sync::watch;

    use super::*;
    use crate::{
        cluster::formation::{Identity, Start, Timing, harness::address},
        discovery::{Discovery as _, StaticList},
    };

    type Inboxes = Arc<BTreeMap<PeerAddress, mpsc::Sender<Inbound>>>;

    /// A node's disk and the channels to the others.
    struct Memory {
        inboxes: Inboxes,
        record: Mutex<PromiseRecord>,
        cluster: watch::Sender<Option<u128>>,
        full: bool,
    }

    impl Ports for Memory {
        async fn persist(&self, record: PromiseRecord) -> io::Result<()> {
            if self.full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *self.record.lock().expect("not poisoned") = record;
            Ok(())
        }

        async fn send(&self, to: PeerAddress, message: Message) -> Option<Message> {
            let (answer, response) = oneshot::channel();
            let message = Box::new(message);
            self.inboxes
                .get(&to)?
                .send(Inbound::Message { message, answer })
                .await
                .ok()?;
            response.await.ok()?
        }

        async fn initialize(&self, cluster_id: u128, members: MemberSet) -> io::Result<()> {
            let record = self.record.lock().expect("not poisoned").clone();
            let promise = record
                .promise
                .expect("initialized without a promise on disk");
            assert_eq!(promise.members, members);
            self.cluster.send_replace(Some(cluster_id));
            Ok(())
        }

        async fn follow(&self, cluster_id: u128) -> io::Result<()> {
            self.cluster.send_replace(Some(cluster_id));
            Ok(())
        }

        /// The cluster makes contact at once, with whoever asks.
        async fn join(&self, cluster_id: u128, _: PeerAddress) {
            for inbox in self.inboxes.values() {
                let (admitted, _) = oneshot::channel();
                let _ = inbox
                    .send(Inbound::Contacted {
                        cluster_id,
                        admitted,
                    })
                    .await;
            }
        }

        fn report(&self, _: String) {}
    }

    fn start(
        count: usize,
        full: bool,
    ) -> (Vec<watch::Receiver<Option<u128>>>, JoinSet<io::Result<()>>) {
        let (mut senders, mut receivers) = (BTreeMap::new(), Vec::new());
        for index in 0..count {
            let (sender, receiver) = mpsc::channel(64);
            senders.insert(address(index), sender);
            receivers.push(receiver);
        }
        let inboxes: Inboxes = Arc::new(senders);
        let list = StaticList::new(inboxes.keys().cloned());
        let (mut clusters, mut drivers) = (Vec::new(), JoinSet::new());
        for (index, inbox) in receivers.into_iter().enumerate() {
            let identity = Identity {
                node_id: index as u64,
                cluster_name: "test".to_owned(),
                address: address(index),
                expect: Some(count as u32),
            };
            let (cluster, watched) = watch::channel(None);
            clusters.push(watched);
            let record = Mutex::default();
            let ports = Memory {
                inboxes: Arc::clone(&inboxes),
                record,
                cluster,
                full,
            };
            let record = PromiseRecord::default();
            let formation = Formation::new(identity, record, Start::Pristine, Timing::default());
            drivers.spawn(run(formation, Arc::new(ports), list.peers(), inbox));
        }
        (clusters, drivers)
    }

    #[tokio::test]
    async fn three_drivers_form_one_cluster() {
        let (clusters, _drivers) = start(3, false);
        let mut found = Vec::new();
        for mut cluster in clusters {
            found.push(
                *cluster
                    .wait_for(Option::is_some)
                    .await
                    .expect("the driver runs"),
            );
        }
        assert_eq!(found, [found[0]; 3]);
    }

    #[tokio::test]
    async fn a_disk_that_fails_stops_the_driver() {
        let (clusters, mut drivers) = start(1, true);
        let ended = drivers
            .join_next()
            .await
            .expect("one driver")
            .expect("no panic");
        assert_eq!(
            ended.expect_err("the disk is full").kind(),
            io::ErrorKind::StorageFull
        );
        assert_eq!(*clusters[0].borrow(), None);
    }
}
