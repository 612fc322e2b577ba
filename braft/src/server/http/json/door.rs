//! The services behind `/v1`, and what bounds their callers.

use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use axum::extract::{FromRequest, Request as HttpRequest};
use axum::http::{StatusCode, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::openapi::Asked;
use super::problem::Problem;
use crate::call::{Channel, Request};
use crate::client::Caller;
use crate::error::Error;
use crate::json::{JsonOperation, JsonService};
use crate::node::Core;

/// Calls that one node serves at once over HTTP; a further one is told that it is busy.
const MAX_CALLS: usize = 1024;
/// The largest body, also of one without a length (see the layer of the routes). A command has 1 MiB at
/// most as MessagePack, and text of bytes is four times as long.
pub(super) const MAX_BODY_BYTES: usize = 4 << 20;
/// What the bodies that are being read may have together, in KiB.
const MAX_BODIES_KIB: usize = 64 << 10;
/// Services of braft's own have names that begin so, and other ways in.
const OWN: &str = "braft.";

pub(super) struct Door {
    core: Arc<Core>,
    pub(super) services: Vec<JsonService>,
    /// Apart from that of the node's own clients: they have their own session.
    channel: Channel,
    calls: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    stopping: CancellationToken,
    /// What callers have to show, for the description: it is looked at before a request gets here.
    pub(super) asked: Asked,
    /// The description of the services, once somebody has asked for it.
    pub(super) openapi: OnceLock<Bytes>,
}

impl Door {
    pub(super) fn new(
        core: Arc<Core>,
        services: Vec<JsonService>,
        asked: Asked,
        stopping: CancellationToken,
    ) -> Self {
        let is_users = |service: &JsonService| !service.name.starts_with(OWN);
        Door {
            channel: Channel::new(Caller::local(core.clone())),
            core,
            services: services.into_iter().filter(is_users).collect(),
            calls: Arc::new(Semaphore::new(MAX_CALLS)),
            bodies: Arc::new(Semaphore::new(MAX_BODIES_KIB)),
            stopping,
            asked,
            openapi: OnceLock::new(),
        }
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Cancelled when the node stops.
    pub(super) fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    pub(super) fn service(&self, name: &str) -> Result<&JsonService, Problem> {
        let found = self.services.iter().find(|service| service.name == name);
        found.ok_or_else(|| {
            let names: Vec<_> = self.services.iter().map(|service| service.name).collect();
            let text = format!("no service {name:?}; there is {}", names.join(", "));
            Problem::not_found(text)
        })
    }

    /// A place among those that are served.
    pub(super) fn enter(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let permit = self.calls.clone().try_acquire_owned();
        permit.map_err(|_| Problem::busy(format!("{MAX_CALLS} calls are under way on this node")))
    }

    /// The whole body of a request.
    pub(super) async fn body(
        &self,
        request: HttpRequest,
        deadline: Instant,
    ) -> Result<Bytes, Problem> {
        let too_large = || {
            let text = format!("the body may have {MAX_BODY_BYTES} bytes at most");
            Problem::refused(StatusCode::PAYLOAD_TOO_LARGE, text)
        };
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let length = length.unwrap_or(MAX_BODY_BYTES);
        if length > MAX_BODY_BYTES {
            return Err(too_large());
        }
        let kib = u32::try_from(length.div_ceil(1024)).expect("bounded above");
        let Ok(_room) = self.bodies.clone().try_acquire_many_owned(kib) else {
            let text = "the bodies that are being read on this node fill its memory for them";
            return Err(Problem::busy(text));
        };
        match timeout_at(deadline, Bytes::from_request(request, &())).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(too_large()),
            Ok(Err(error)) => Err(Problem::refused(error.status(), error.body_text())),
            Err(_) => {
                let text = "the body was not there in time";
                Err(Problem::refused(StatusCode::REQUEST_TIMEOUT, text))
            }
        }
    }

    pub(super) async fn send(&self, request: Request) -> Result<Bytes, Error> {
        self.channel.send(request).await
    }
}

/// The methods of a service, for a text.
pub(super) fn methods(service: &JsonService) -> String {
    let names = service.operations.iter();
    let names: Vec<_> = names.map(|operation| operation.method.name).collect();
    names.join(", ")
}

/// The arguments of a method, for a text.
pub(super) fn arguments(operation: &JsonOperation) -> String {
    let names = operation.arguments.iter();
    let names: Vec<_> = names.map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        return "no arguments".to_owned();
    }
    names.join(", ")
}
