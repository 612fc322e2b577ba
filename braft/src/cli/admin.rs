//! The way to a cluster.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use super::args::Args;
use super::failure::{Failure, said};
use crate::access::{CALLER, ShownToken, caller};
use crate::net::Dialer;
use crate::status::Status as NodeStatus;
use crate::wire::admin::StatusRequest;
use crate::wire::admin::admin_client::AdminClient;

/// The longest one of several addresses may take until the next is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The largest message of a node: the schemas of all its services.
const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// A connection without life is noticed after the interval and the timeout.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Shows the caller's token with each call, if there is one, and says who calls.
#[derive(Clone)]
pub(super) struct Shows {
    token: Option<ShownToken>,
    caller: Option<MetadataValue<Ascii>>,
}

/// The user of this program, and where it runs.
fn user() -> Option<MetadataValue<Ascii>> {
    let name = ["USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok());
    let name = name.filter(|name| !name.is_empty())?;
    let host = crate::config::host_name().unwrap_or_default();
    caller(&format!("{name}@{host}"))
}

impl Interceptor for Shows {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(caller) = &self.caller {
            request.metadata_mut().insert(CALLER, caller.clone());
        }
        match &self.token {
            Some(token) => token.show_in(request).map_err(Status::invalid_argument),
            None => Ok(request),
        }
    }
}

/// A node that answers.
pub(super) struct Admin {
    pub(super) client: AdminClient<InterceptedService<Channel, Shows>>,
    pub(super) address: String,
    until: Instant,
    timeout: Duration,
}

impl Admin {
    /// Connects to the first address that takes it.
    pub(super) async fn connect(args: &Args) -> Result<Self, Failure> {
        let until = Instant::now() + args.timeout;
        let dialer = Dialer::default()
            .with_tls(args.tls.load()?)
            .with_join(args.tokens.join()?);
        let shows = Shows {
            token: args.tokens.token()?,
            caller: user(),
        };
        let mut reasons = Vec::new();
        for address in &args.address {
            match connect(&dialer, address, until).await {
                Ok(channel) => {
                    return Ok(Admin {
                        client: AdminClient::with_interceptor(channel, shows)
                            .max_decoding_message_size(MAX_MESSAGE_BYTES),
                        address: address.clone(),
                        until,
                        timeout: args.timeout,
                    });
                }
                Err(reason) => reasons.push(format!("{address} ({reason})")),
            }
        }
        Err(Failure::Unavailable(format!(
            "no node answers at {}; start one, or name others with --address or BRAFT_ADDRESS",
            reasons.join(", ")
        )))
    }

    /// Waits for an answer, as long as the command may take.
    pub(super) async fn answer<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failure> {
        match timeout_at(self.until, call).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(said(&self.address, &status)),
            Err(_) => Err(Failure::Unavailable(format!(
                "{} has not answered within {:?}; it may do yet what was asked: look before you \
                 ask again, or give more --timeout",
                self.address, self.timeout
            ))),
        }
    }

    /// What is left of the time, in milliseconds.
    pub(super) fn left_ms(&self) -> u32 {
        let left = self.until.saturating_duration_since(Instant::now());
        u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1)
    }

    /// What all members say, or the node that is asked alone.
    pub(super) async fn statuses(&mut self, all: bool) -> Result<Vec<NodeStatus>, Failure> {
        let mut client = self.client.clone();
        let answer = self.answer(client.status(StatusRequest { all })).await?;
        let nodes = answer.nodes.iter().map(|text| {
            serde_json::from_str(text).map_err(|error| {
                Failure::Refused(format!(
                    "{}: its status cannot be read: {error}; use the braft of its version",
                    self.address
                ))
            })
        });
        nodes.collect()
    }
}

async fn connect(dialer: &Dialer, address: &str, until: Instant) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|_| "no address; write \"host:port\"".to_owned())?
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE);
    let until = until.min(Instant::now() + CONNECT_TIMEOUT);
    match timeout_at(until, dialer.connect(&endpoint)).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(innermost(&error)),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
