//! What stands for TLS where braft is built without it.

use std::convert::Infallible;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::Standing;

/// There is none.
#[derive(Clone, Debug)]
pub(crate) struct Secure(Infallible);

pub(crate) type Connected = TcpStream;
pub(crate) type Taken<S> = S;

impl Secure {
    pub(crate) async fn connect(&self, _: &str, _: TcpStream) -> io::Result<Connected> {
        match self.0 {}
    }

    pub(crate) fn binding_of(&self, _: &Connected) -> io::Result<[u8; 32]> {
        match self.0 {}
    }

    pub(crate) fn binding_of_taken<S>(&self, _: &Taken<S>) -> io::Result<[u8; 32]> {
        match self.0 {}
    }

    pub(crate) fn name_of_taken<S>(&self, _: &Taken<S>) -> Option<String> {
        match self.0 {}
    }

    pub(crate) async fn accept<S>(&self, _: S) -> io::Result<(Taken<S>, Standing)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match self.0 {}
    }

    pub(crate) async fn accept_http<S>(&self, _: S) -> io::Result<(Taken<S>, Standing)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match self.0 {}
    }
}
