//! Certificates in use, which change with their files.

use std::fmt;
use std::fs;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::pki_types::ServerName;
use rustls::{ConnectionCommon, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::Standing;
use super::files::Tls;
use super::loaded::Loaded;
use super::named::name_of;

/// How often the files are looked at, when connections are made or taken.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The longest the other side may take for a handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// What is read of somebody who was refused.
const MAX_UNREAD_BYTES: u64 = 64 << 10;

/// What a connection is told from all others by.
const BINDING_BYTES: usize = 32;
const BINDING_LABEL: &[u8] = b"EXPORTER-braft-join";

pub(crate) type Connected = client::TlsStream<TcpStream>;
pub(crate) type Taken<S> = server::TlsStream<S>;

/// One's own certificate and those one trusts, as they are now. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Secure(Arc<Inner>);

struct Inner {
    files: Tls,
    /// Borne by all nodes; without it each bears its address.
    name: Option<ServerName<'static>>,
    now: Mutex<Now>,
}

struct Now {
    loaded: Arc<Loaded>,
    stamps: Stamps,
    looked: Instant,
}

/// What tells that a file has changed; `None` while it cannot be looked at.
type Stamps = Vec<Option<(SystemTime, u64)>>;

impl fmt::Debug for Secure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Secure").field(&self.0.files).finish()
    }
}

impl Secure {
    /// Reads the files; an error says which one cannot be used, and why.
    pub(crate) fn load(files: Tls) -> Result<Self, String> {
        let name = files.server_name.clone().map(|name| {
            let text = format!("{name:?} is neither a host name nor an IP address");
            ServerName::try_from(name).map_err(|_| text)
        });
        let stamps = stamps(&files);
        Ok(Secure(Arc::new(Inner {
            name: name.transpose()?,
            now: Mutex::new(Now {
                loaded: Arc::new(Loaded::read(&files)?),
                stamps,
                looked: Instant::now(),
            }),
            files,
        })))
    }

    /// What the files say, read again if they have changed.
    fn loaded(&self) -> Arc<Loaded> {
        let Inner { files, now, .. } = &*self.0;
        let mut now = now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.looked.elapsed() >= LOOK_EVERY {
            now.looked = Instant::now();
            // Before they are read: what changes meanwhile is read the next time.
            let stamps = stamps(files);
            if stamps != now.stamps {
                match Loaded::read(files) {
                    Ok(loaded) => {
                        now.loaded = Arc::new(loaded);
                        tracing::info!("the certificates have changed, and were read again");
                    }
                    Err(why) => tracing::warn!(
                        why,
                        "the certificates have changed to what \
                        cannot be used; those read before go on"
                    ),
                }
                now.stamps = stamps;
            }
        }
        now.loaded.clone()
    }

    /// Speaks TLS with whoever answers at "host:port", once that is a member.
    pub(crate) async fn connect(&self, to: &str, stream: TcpStream) -> io::Result<Connected> {
        let name = match &self.0.name {
            Some(name) => name.clone(),
            None => name_in(to)?,
        };
        let connector = TlsConnector::from(self.loaded().client.clone());
        in_time(connector.connect(name, stream)).await
    }

    /// What only the two ends of a connection can compute.
    pub(crate) fn binding_of(&self, connected: &Connected) -> io::Result<[u8; BINDING_BYTES]> {
        binding(connected.get_ref().1)
    }

    /// The same, as the other end sees it.
    pub(crate) fn binding_of_taken<S>(&self, taken: &Taken<S>) -> io::Result<[u8; BINDING_BYTES]> {
        binding(taken.get_ref().1)
    }

    /// What the certificate of whoever has connected calls it.
    pub(crate) fn name_of_taken<S>(&self, taken: &Taken<S>) -> Option<String> {
        let shown = taken.get_ref().1.peer_certificates()?;
        shown.first().map(name_of)
    }

    /// Speaks TLS with whoever has connected, once a certificate says who it is.
    pub(crate) async fn accept<S>(&self, stream: S) -> io::Result<(Taken<S>, Standing)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let loaded = self.loaded();
        take(&loaded, loaded.server.clone(), stream).await
    }

    /// The same, also with those who show no certificate.
    pub(crate) async fn accept_http<S>(&self, stream: S) -> io::Result<(Taken<S>, Standing)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let loaded = self.loaded();
        take(&loaded, loaded.http.clone(), stream).await
    }
}

/// Keying material of this session (RFC 5705), for what is to hold for it alone.
fn binding<D>(session: &ConnectionCommon<D>) -> io::Result<[u8; BINDING_BYTES]> {
    session
        .export_keying_material([0; BINDING_BYTES], BINDING_LABEL, None)
        .map_err(io::Error::other)
}

async fn take<S>(
    loaded: &Loaded,
    config: Arc<ServerConfig>,
    stream: S,
) -> io::Result<(Taken<S>, Standing)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let time = config.time_provider.clone();
    let taken = in_time(greet(config, stream)).await?;
    let (_, session) = taken.get_ref();
    let standing = match session.peer_certificates() {
        None | Some([]) => Standing::Nobody,
        Some([own, others @ ..]) => {
            let now = time.current_time();
            let now = now.ok_or_else(|| io::Error::other("the system has no time of day"))?;
            let of_members = loaded.members.verify_client_cert(own, others, now);
            match of_members {
                Ok(_) => Standing::Member,
                // The handshake has shown that it is of one of the authorities.
                Err(_) => Standing::Client,
            }
        }
    };
    Ok((taken, standing))
}

/// Lets the other side read why it is refused, before the connection is closed.
async fn greet<S>(config: Arc<ServerConfig>, stream: S) -> io::Result<Taken<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let accepting = TlsAcceptor::from(config).accept(stream).into_fallible();
    let (error, mut stream) = match accepting.await {
        Ok(taken) => return Ok(taken),
        Err(refused) => refused,
    };
    // What it has said meanwhile would else have the system throw away what it was told.
    drop(stream.shutdown().await);
    let mut unread = (&mut stream).take(MAX_UNREAD_BYTES);
    drop(tokio::io::copy(&mut unread, &mut tokio::io::sink()).await);
    Err(error)
}

async fn in_time<T>(handshake: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(HANDSHAKE_TIME, handshake)
        .await
        .unwrap_or_else(|_| {
            let text = format!("the TLS handshake took longer than {HANDSHAKE_TIME:?}");
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
}

/// The host of "host:port".
fn name_in(address: &str) -> io::Result<ServerName<'static>> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(|_| {
        let text = format!("{host:?} is neither a host name nor an IP address");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}

fn stamps(files: &Tls) -> Stamps {
    let all = [&files.certificate, &files.key, &files.authority];
    let all = all.into_iter().chain(&files.clients);
    all.map(|path| {
        let found = fs::metadata(path).ok()?;
        Some((found.modified().ok()?, found.len()))
    })
    .collect()
}
