//! The client: from a typed call to the leader and back.
//!
//! | module | its part |
//! |---|---|
//! | `caller` | carries a call through its attempts |
//! | `retry` | judges refusals; decides what may be said at the end |
//! | `session` | sequence numbers and the mark of answers received |
//! | `hop` | where an attempt goes: the node of this process, or the leader far away |
//! | `route`, `rumour` | which node is the leader, and which one is near |
//! | `pool`, `link`, `line`, `flights` | streams to nodes, many calls on each |
//! | `throttle` | reads that are not sent to a node that would refuse them |
//! | `follow` | events of a service, from node to node |
//! | `connect`, `options` | the first contact |
//! | `tap` | attempts that a test sees |

use std::future::Future;

use crate::__private::Connected;
use crate::call::{Channel, ReadLevel};
use crate::error::Error;
use crate::event::Event;
use crate::net::Dialer;
use crate::service::Service;
use crate::subscription::Events;

mod budget;
mod caller;
mod connect;
mod flights;
mod follow;
#[allow(dead_code)]
mod hop;
mod line;
#[allow(dead_code)]
mod link;
mod options;
#[allow(dead_code)]
mod pool;
mod retry;
mod route;
mod rumour;
mod session;
#[cfg(feature = "testing")]
mod tap;
#[cfg(test)]
mod tests;
mod throttle;

pub use options::ConnectOptions;
#[cfg(feature = "testing")]
pub(crate) use tap::{AttemptTap, Fate, Tap};
#[allow(unused_imports)]
pub(crate) use {caller::Caller, link::ClusterPin, pool::Pool};

/// A channel to nodes at these addresses that connects on its first call.
#[cfg(feature = "testing")]
pub(crate) fn channel(addresses: Vec<String>, dialer: Dialer) -> Channel {
    Channel::new(Caller::remote(connect::lazy(addresses, dialer)))
}

/// The same with a tap on its attempts.
#[cfg(feature = "testing")]
pub(crate) fn tapped(
    addresses: Vec<String>,
    dialer: Dialer,
    tap: std::sync::Arc<dyn Tap>,
) -> Channel {
    Channel::new(Caller::tapped(connect::lazy(addresses, dialer), tap))
}

/// The same for calls that enter at the node of this process.
#[cfg(feature = "testing")]
pub(crate) fn tapped_here(
    gateway: std::sync::Arc<dyn crate::request::Gateway>,
    tap: std::sync::Arc<dyn Tap>,
) -> Channel {
    Channel::new(Caller::tapped(hop::Local(gateway), tap))
}

/// The typed client of a service; implemented by `#[raft_service]`.
pub trait Client: Connected + From<Channel> + Clone + Send + Sync + 'static {
    /// Connects to a cluster through any of its nodes.
    ///
    /// Takes raft addresses, each as `host:port`, and returns once one of them has answered; the
    /// others are used when it fails. Nodes say who leads, and commands and linearizable reads go there
    /// themselves if the leader is reached from here, else through the others. The client belongs
    /// to the cluster it met first: a node of another one is refused. It runs on the tokio runtime
    /// it is called from.
    ///
    /// ```no_run
    /// # async fn example<CounterClient: braft::Client>() -> Result<(), braft::Error> {
    /// use braft::Client;
    ///
    /// let counter = CounterClient::connect(["10.0.0.1:15000", "10.0.0.2:15000"]).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// *Rejected* if an address is none; *unavailable* if none answers within five seconds, naming
    /// each and why.
    fn connect<A: AsRef<str> + Send>(
        addresses: impl IntoIterator<Item = A> + Send,
    ) -> impl Future<Output = Result<Self, Error>> + Send {
        let addresses = addresses
            .into_iter()
            .map(|address| address.as_ref().to_owned())
            .collect();
        async move {
            let caller = connect::connect(addresses, Dialer::default()).await?;
            Ok(Channel::new(caller).into())
        }
    }

    /// Connects over TLS, to a cluster whose nodes have it. The certificate of these files is the
    /// client's own; the nodes' have to be of their authority.
    ///
    /// ```no_run
    /// # async fn example<CounterClient: braft::Client>() -> Result<(), braft::Error> {
    /// use braft::{Client, Tls};
    ///
    /// let tls = Tls::new("client.pem", "client-key.pem", "members.pem");
    /// let counter = CounterClient::connect_over_tls(["10.0.0.1:15000"], tls).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As with [`connect`](Self::connect); *rejected* also if a file cannot be used.
    #[cfg(feature = "tls")]
    fn connect_over_tls<A: AsRef<str> + Send>(
        addresses: impl IntoIterator<Item = A> + Send,
        tls: crate::Tls,
    ) -> impl Future<Output = Result<Self, Error>> + Send {
        let addresses = addresses
            .into_iter()
            .map(|address| address.as_ref().to_owned())
            .collect();
        async move {
            let dialer = ConnectOptions::new().tls(tls).dialer()?;
            let caller = connect::connect(addresses, dialer).await?;
            Ok(Channel::new(caller).into())
        }
    }

    /// Connects with a token, or over TLS, or with both.
    ///
    /// ```no_run
    /// # async fn example<CounterClient: braft::Client>() -> Result<(), braft::Error> {
    /// use braft::{Client, ConnectOptions};
    ///
    /// let options = ConnectOptions::new().token_file("/run/secrets/counter");
    /// let counter = CounterClient::connect_with(["10.0.0.1:15000"], options).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As with [`connect`](Self::connect); *rejected* also if a file or the token cannot be used. A token
    /// that no node knows is told of as the reason why none answered.
    fn connect_with<A: AsRef<str> + Send>(
        addresses: impl IntoIterator<Item = A> + Send,
        options: ConnectOptions,
    ) -> impl Future<Output = Result<Self, Error>> + Send {
        let addresses = addresses
            .into_iter()
            .map(|address| address.as_ref().to_owned())
            .collect();
        async move {
            let caller = connect::connect(addresses, options.dialer()?).await?;
            Ok(Channel::new(caller).into())
        }
    }

    /// The same client, whose queries are this fresh where the call does not say otherwise. It shares
    /// connections and session with this one.
    ///
    /// ```no_run
    /// # async fn example<CounterClient: braft::Client>() -> Result<(), braft::Error> {
    /// use braft::{Client, ReadLevel};
    ///
    /// let counter = CounterClient::connect(["10.0.0.1:15000"]).await?;
    /// let nearby = counter.with_reads(ReadLevel::Session);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    fn with_reads(&self, level: ReadLevel) -> Self {
        self.channel().clone().with_reads(level).into()
    }

    /// The events that the service's commands and timers emit (see
    /// [`Context::emit`](crate::Context::emit)), in order, each once.
    ///
    /// ```no_run
    /// # use braft::{Context, raft_service};
    /// # use serde::{Deserialize, Serialize};
    /// # #[raft_service]
    /// # #[derive(Default, Serialize, Deserialize)]
    /// # pub struct Counter { value: u64 }
    /// # #[derive(Debug, Serialize, Deserialize)]
    /// # pub struct Added { by: u64 }
    /// # #[raft_service]
    /// # impl Counter {
    /// #     pub fn add(&mut self, context: &mut Context<Added>, by: u64) { context.emit(Added { by }); }
    /// # }
    /// # async fn example(counter: CounterClient) -> Result<(), braft::Error> {
    /// use braft::Client;
    ///
    /// let mut events = counter.events();
    /// while let Some(event) = events.next().await {
    ///     let (position, event) = event?;
    ///     println!("{position}: {event:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    fn events(&self) -> Events<<Self::State as Service>::Event>
    where
        Self: Connected,
        Self::State: Service<Event: Event>,
    {
        Events::new(self.channel().clone(), Self::SERVICE)
    }
}
