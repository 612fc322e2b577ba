//! Opening the ports.

use std::io::ErrorKind;
use std::net::IpAddr;

use tokio::net::TcpListener;

use super::Resolved;
use crate::error::Error;
use crate::net::Listener;

/// Opens a port; `variable` is what the user changes if that fails.
pub(super) fn bind(ip: IpAddr, port: u16, variable: &str) -> Result<std::net::TcpListener, Error> {
    std::net::TcpListener::bind((ip, port)).map_err(|error| {
        let text = match error.kind() {
            ErrorKind::AddrInUse => format!(
                "port {port} on {ip} is taken by another program; \
                 set {variable} to a free port, or to 0 for any"
            ),
            ErrorKind::PermissionDenied => {
                format!("port {port} needs more rights; set {variable} to a port above 1023")
            }
            ErrorKind::AddrNotAvailable => {
                format!("{ip} is not an address of this host; set BRAFT_IP to one that is")
            }
            _ => format!("port {port} on {ip} cannot be opened; set {variable} to another"),
        };
        Error::rejected(text).with_source(error)
    })
}

fn asynchronous(listener: std::net::TcpListener) -> Result<TcpListener, Error> {
    let ready = listener
        .set_nonblocking(true)
        .and_then(|()| TcpListener::from_std(listener));
    ready.map_err(|error| Error::fatal("a listener cannot be used").with_source(error))
}

impl Resolved {
    /// The listeners for gRPC and, unless switched off, for HTTP.
    pub(crate) fn listen(&mut self) -> Result<(Listener, Option<TcpListener>), Error> {
        #[cfg(feature = "testing")]
        if let Some(listener) = self.seams.dialer.listener() {
            return Ok((listener, None));
        }
        let raft = self.listener.take().expect("the ports are opened once");
        let http = match self.http_port {
            Some(port) => Some(asynchronous(bind(self.bind_ip, port, "BRAFT_HPORT")?)?),
            None => None,
        };
        Ok((Listener::Tcp(asynchronous(raft)?), http))
    }
}
