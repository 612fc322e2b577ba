//! The running daemon: announce, listen, say goodbye.

use std::time::Duration;

use mdns_sd::{IfKind, IfPredicate, Receiver, ServiceDaemon, ServiceEvent};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ServiceType;
use super::instances::Instances;
use super::record::own_record;
use crate::discovery::{Announcement, Host, PeerSet};

/// A daemon that failed is started again after this long, then twice as long, and so on.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A node's own record comes back at once where multicast works; after this long it does not.
const OWN_RECORD_WITHIN: Duration = Duration::from_secs(3);
/// How long nobody is found before that is said.
const ALONE_FOR: Duration = Duration::from_secs(10);
/// The longest the daemon may take to say goodbye.
const GOODBYE_WITHIN: Duration = Duration::from_millis(500);
/// What helps where multicast does not.
const REMEDY: &str = "list the peers instead, such as BRAFT_DISCOVERY=host1:15000,host2:15000";

/// Announces a node and publishes whom it sees, until it is stopped.
pub(super) async fn run(
    service: ServiceType,
    own: Announcement,
    seen: watch::Sender<Option<PeerSet>>,
    stop: CancellationToken,
) {
    let mut pause = FIRST_PAUSE;
    let mut session = Session::new(own, seen);
    loop {
        match start(&service, &session.own) {
            Ok((daemon, events)) => {
                let ended = stop.run_until_cancelled(session.listen(events)).await;
                say_goodbye(&daemon).await;
                if ended.is_none() {
                    return;
                }
                tracing::warn!("mDNS stopped listening; it is started again in {pause:?}");
            }
            Err(error) => {
                tracing::warn!(%error, "mDNS does not start, next try in {pause:?}: {REMEDY}");
            }
        }
        let waited = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        if waited.is_none() {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

type Events = Receiver<ServiceEvent>;

/// Starts a daemon; nothing goes out on an interface that is not this node's.
fn start(service: &ServiceType, own: &Announcement) -> mdns_sd::Result<(ServiceDaemon, Events)> {
    let record = own_record(service, own)?;
    let daemon = ServiceDaemon::new()?;
    let begun = || {
        let loopback = matches!(own.address.host(), Host::Ip(ip) if ip.is_loopback());
        let wanted = IfPredicate::new(move |interface| interface.is_loopback() == loopback);
        daemon.disable_interface(IfKind::All)?;
        daemon.enable_interface(IfKind::Predicate(wanted))?;
        daemon.register(record)?;
        daemon.browse(&service.domain())
    };
    match begun() {
        Ok(events) => Ok((daemon, events)),
        Err(error) => {
            // Its thread would go on; an error says that it has ended.
            drop(daemon.shutdown());
            Err(error)
        }
    }
}

/// Tells the network that this node goes, and ends the daemon.
async fn say_goodbye(daemon: &ServiceDaemon) {
    let Ok(done) = daemon.shutdown() else {
        return;
    };
    // Late or lost: the record expires.
    drop(tokio::time::timeout(GOODBYE_WITHIN, done.recv_async()).await);
}

/// What is known while daemons come and go.
struct Session {
    own: Announcement,
    instances: Instances,
    seen: watch::Sender<Option<PeerSet>>,
    begun: Instant,
    /// What was complained about, so that it is said once.
    complained: bool,
    alone_said: bool,
}

impl Session {
    fn new(own: Announcement, seen: watch::Sender<Option<PeerSet>>) -> Self {
        Session {
            instances: Instances::new(own.clone()),
            own,
            seen,
            begun: Instant::now(),
            complained: false,
            alone_said: false,
        }
    }

    /// Takes events in until the daemon ends the subscription.
    async fn listen(&mut self, events: Events) {
        loop {
            tokio::select! {
                event = events.recv_async() => match event {
                    Ok(event) => self.take(event),
                    Err(_) => return,
                },
                () = tokio::time::sleep_until(self.begun + OWN_RECORD_WITHIN), if !self.complained => {
                    self.complain_unless_heard();
                }
                () = tokio::time::sleep_until(self.begun + ALONE_FOR), if !self.alone_said => {
                    self.say_if_alone();
                }
            }
        }
    }

    fn take(&mut self, event: ServiceEvent) {
        let changed = match event {
            ServiceEvent::ServiceResolved(service) => self.instances.resolved(&service),
            ServiceEvent::ServiceRemoved(_, fullname) => self.instances.removed(&fullname),
            _ => false,
        };
        if changed {
            let peers = self.instances.peers();
            tracing::debug!(?peers, "mDNS sees");
            // How many are up says nothing about how many there are to be.
            let expect = None;
            self.seen.send_replace(Some(PeerSet { peers, expect }));
        }
    }

    /// Multicast comes back to its sender: a node that does not hear itself is not heard.
    fn complain_unless_heard(&mut self) {
        self.complained = true;
        if !self.instances.own_seen {
            tracing::warn!(
                address = %self.own.address,
                "multicast does not work on the interfaces of this node: mDNS finds nobody and is \
                 not found. Check that the network is up, and that nothing blocks UDP port {}; or \
                 {REMEDY}",
                mdns_sd::MDNS_PORT
            );
        }
    }

    fn say_if_alone(&mut self) {
        self.alone_said = true;
        if !self.instances.own_seen || self.seen.borrow().is_some() {
            return;
        }
        let cluster = &self.own.cluster_name;
        let others = &self.instances.other_clusters;
        if others.is_empty() {
            tracing::info!(
                cluster,
                "mDNS has found no other node; if there are some, the network does not carry \
                 multicast between them: {REMEDY}"
            );
        } else {
            tracing::info!(
                cluster,
                ?others,
                "mDNS has found nodes of other clusters only; if they belong together, set \
                 BRAFT_CLUSTER alike"
            );
        }
    }
}
