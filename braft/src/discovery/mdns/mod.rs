//! Multicast DNS (RFC 6762, RFC 6763): nodes announce themselves on the local network.
//!
//! | file | what it holds |
//! |---|---|
//! | `service_type.rs` | [`ServiceType`]: under which name |
//! | `record.rs` | what a node says of itself, and how what another one says is read |
//! | `instances.rs` | what is believed of what others say |
//! | `session.rs` | the running daemon: announce, listen, say goodbye |
//!
//! Nothing on the network is authenticated: a record says whom to contact, and the handshake says
//! who that is. A node that was killed stays announced until its record expires, an hour later.

#[cfg(feature = "testing")]
pub(crate) mod fuzz;
mod instances;
mod record;
mod service_type;
mod session;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};

use futures_core::{future::BoxFuture, stream::BoxStream};
use futures_util::StreamExt as _;
use tokio::{sync::watch, task::JoinHandle};
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Announcement, Discovery, PeerSet};
pub use service_type::{InvalidServiceType, ServiceType};

/// Peers on the local network.
///
/// They are told apart by the cluster's name, so several clusters may be on one network. A node
/// that is reached on loopback announces itself on loopback alone, and any other one on all other
/// interfaces, over IPv4 and IPv6.
#[derive(Debug)]
pub struct Mdns {
    service: ServiceType,
    seen: watch::Sender<Option<PeerSet>>,
    running: Mutex<Option<Running>>,
}

/// What [`Discovery::announce`] has begun.
#[derive(Debug)]
struct Running {
    /// Ends the task, which says goodbye; also when the source is dropped.
    stop: DropGuard,
    task: JoinHandle<()>,
}

impl Mdns {
    /// Looks for nodes under a name of one's own; `ServiceType::default()` is `_braft._tcp`.
    pub fn new(service: ServiceType) -> Self {
        Self {
            service,
            seen: watch::Sender::new(None),
            running: Mutex::default(),
        }
    }

    fn take_running(&self) -> Option<Running> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.take()
    }
}

impl Discovery for Mdns {
    fn name(&self) -> &str {
        "mdns"
    }

    /// Yields nothing before another node of the cluster is seen.
    fn peers(&self) -> BoxStream<'static, PeerSet> {
        WatchStream::new(self.seen.subscribe())
            .filter_map(std::future::ready)
            .boxed()
    }

    fn announce(&self, own: Announcement) {
        let stop = CancellationToken::new();
        let session = session::run(self.service.clone(), own, self.seen.clone(), stop.clone());
        let running = Running {
            stop: stop.drop_guard(),
            task: tokio::spawn(session),
        };
        let mut before = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        *before = Some(running);
    }

    fn withdraw(&self) -> BoxFuture<'static, ()> {
        let running = self.take_running();
        Box::pin(async move {
            if let Some(Running { stop, task }) = running {
                drop(stop);
                // A panic in it was reported by the runtime.
                drop(task.await);
            }
        })
    }
}
