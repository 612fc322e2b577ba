//! Mutual TLS: who may speak with a node, and whom it speaks with.
//!
//! | file | what it holds |
//! |---|---|
//! | `files.rs` | where the certificates are |
//! | `named.rs` | what a certificate calls its holder |
//! | `loaded.rs` | what they say: how connections are made and taken |
//! | `secure.rs` | both together: files that are read again once they change |
//! | `without.rs` | the same where braft is built without the feature `tls` |

#[cfg(feature = "tls")]
mod files;
#[cfg(feature = "tls")]
mod loaded;
#[cfg(feature = "tls")]
mod named;
#[cfg(feature = "tls")]
mod secure;
#[cfg(not(feature = "tls"))]
mod without;

#[cfg(feature = "tls")]
pub use self::files::Tls;
#[cfg(feature = "tls")]
pub(crate) use self::secure::{Connected, Secure, Taken};
#[cfg(not(feature = "tls"))]
pub(crate) use self::without::{Connected, Secure, Taken};

/// What the certificate of a peer is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// Without the feature there are no certificates.
#[cfg_attr(not(feature = "tls"), allow(dead_code))]
pub(crate) enum Standing {
    /// For everything: it is of the authority of the members.
    Member,
    /// For calls: it is of the authority of the clients.
    Client,
    /// For calls: it is a member's, or there is no TLS, but the join token was not shown.
    Unproven,
    /// For nothing: there is none.
    Nobody,
}
