//! Where the certificates are.

use std::path::PathBuf;

/// The files of one's own certificate, and of the authorities one trusts: all PEM.
///
/// Each is read again once it changes, and what it says holds for new connections; if it cannot be
/// used, a line in the log says why, and what was read before goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) authority: PathBuf,
    pub(crate) clients: Option<PathBuf>,
    pub(crate) server_name: Option<String>,
}

impl Tls {
    /// One's own certificate, with what leads from it to its authority; its key; and the authority of
    /// the members. Of a node the certificate has to be of that authority, and to bear the host name or
    /// IP address under which the others reach it.
    pub fn new(
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
        authority: impl Into<PathBuf>,
    ) -> Self {
        Tls {
            certificate: certificate.into(),
            key: key.into(),
            authority: authority.into(),
            clients: None,
            server_name: None,
        }
    }

    /// An authority whose certificates are good for calls alone: neither for members nor for operators.
    #[must_use]
    pub fn client_authority(mut self, authority: impl Into<PathBuf>) -> Self {
        self.clients = Some(authority.into());
        self
    }

    /// The name that the certificates of all nodes bear, where they do not bear the addresses under
    /// which nodes are reached.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }
}
