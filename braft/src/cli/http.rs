//! The way to the services of a cluster: JSON over a node's HTTP port.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::admin::Admin;
use super::args::Args;
use super::failure::Failure;
use crate::access::HEADER;
use crate::tls::Secure;

/// The longest one of several addresses may take until the next is tried.
const CONNECT_TIME: Duration = Duration::from_secs(2);
/// The largest answer; nodes send none that is larger, but for its form in JSON.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// A connection to the HTTP port of a node.
pub(super) struct Http {
    sender: SendRequest<Body>,
    pub(super) address: String,
    /// The header with the caller's token, if there is one.
    token: Option<HeaderValue>,
}

impl Http {
    /// Connects to the first address that takes it: those given for HTTP, or else where the node that is
    /// asked says it serves HTTP.
    pub(super) async fn connect(
        args: &Args,
        given: &[String],
        until: Instant,
    ) -> Result<Self, Failure> {
        let mut addresses = given.to_vec();
        if addresses.is_empty() {
            addresses.push(found(args).await?);
        }
        let tls = args.tls.load()?;
        let token = args.tokens.token()?;
        let token = token.map(|token| token.header()).transpose();
        let token = token.map_err(Failure::Refused)?;
        let mut token = token.and_then(|header| HeaderValue::try_from(header).ok());
        if let Some(token) = &mut token {
            token.set_sensitive(true);
        }
        let mut reasons = Vec::new();
        for address in addresses {
            let until = until.min(Instant::now() + CONNECT_TIME);
            match timeout_at(until, open(&address, tls.as_ref())).await {
                Ok(Ok(sender)) => {
                    return Ok(Http {
                        sender,
                        address,
                        token,
                    });
                }
                Ok(Err(reason)) => reasons.push(format!("{address} ({reason})")),
                Err(_) => reasons.push(format!("{address} (no answer in time)")),
            }
        }
        Err(Failure::Unavailable(format!(
            "no node serves HTTP at {}",
            reasons.join(", ")
        )))
    }

    /// Sends a request. An error says that no answer came, and nothing of what was done.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, String> {
        let sent = self.sender.send_request(request).await;
        sent.map_err(|error| format!("{}: {error}", self.address))
    }

    /// A request for a path, without a body.
    pub(super) fn request(
        &self,
        method: &str,
        path: &str,
    ) -> Result<axum::http::request::Builder, Failure> {
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            let text =
                format!("{path:?} cannot be asked for; write names as `braft schema` shows them");
            return Err(Failure::Refused(text));
        }
        let request = Request::builder().method(method).uri(path);
        let request = request.header("host", &self.address);
        Ok(match &self.token {
            Some(token) => request.header(HEADER, token),
            None => request,
        })
    }
}

/// Where the node that is asked serves HTTP.
async fn found(args: &Args) -> Result<String, Failure> {
    let mut admin = Admin::connect(args).await?;
    let status = admin.statuses(false).await?.into_iter().next();
    let address = status.map(|status| status.http_address);
    address.filter(|address| !address.is_empty()).ok_or_else(|| {
        let text = format!(
            "{} serves no HTTP, over which services are called; name a node that does with --http",
            admin.address
        );
        Failure::Refused(text)
    })
}

async fn open(address: &str, tls: Option<&Secure>) -> Result<SendRequest<Body>, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| error.to_string())?;
    drop(stream.set_nodelay(true));
    match tls {
        Some(tls) => {
            let secured = tls.connect(address, stream).await;
            speak(secured.map_err(|error| error.to_string())?).await
        }
        None => speak(stream).await,
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Body>, String> {
    let (sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    // How it ends is told to whoever waits for an answer.
    tokio::spawn(connection.map(drop));
    Ok(sender)
}

/// The whole body of an answer.
pub(super) async fn text(response: Response<Incoming>) -> Result<String, String> {
    let body = Body::new(response.into_body());
    let bytes = to_bytes(body, MAX_ANSWER_BYTES).await;
    let bytes = bytes.map_err(|error| error.to_string())?;
    String::from_utf8(bytes.into()).map_err(|error| error.to_string())
}

/// What a problem document says.
pub(super) fn problem(address: &str, status: StatusCode, text: &str) -> Failure {
    let Ok(document) = serde_json::from_str::<Value>(text) else {
        return Failure::Refused(format!(
            "{address} answered {status}, which no node of braft does"
        ));
    };
    let word = |name: &str| document[name].as_str().unwrap_or_default();
    let detail = word("detail").to_owned();
    match (word("kind"), word("outcome")) {
        ("service", _) => Failure::Service(format!("{detail}: {}", document["error"])),
        (_, "unknown") => Failure::Unknown(detail),
        (_, "applied") => Failure::Unknown(format!("it was carried out; {detail}")),
        ("busy" | "unavailable" | "session_expired" | "fatal", _) => Failure::Unavailable(detail),
        _ => Failure::Refused(detail),
    }
}
