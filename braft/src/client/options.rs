//! How a client connects, beyond its addresses.

use std::path::PathBuf;

use crate::access::{Secret, ShownToken};
use crate::error::Error;
use crate::net::Dialer;

/// How a client connects: in plain text and without a token, unless this says otherwise.
///
/// What is secret in it is not shown when it is printed.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    #[cfg(feature = "tls")]
    tls: Option<crate::Tls>,
    token: Option<Token>,
}

#[derive(Clone, Debug)]
enum Token {
    /// As it was given, and checked when it is used.
    Given(Result<Secret, String>),
    File(PathBuf),
}

impl ConnectOptions {
    /// In plain text, without a token.
    pub fn new() -> Self {
        Self::default()
    }

    /// Speaks TLS: see [`Client::connect_over_tls`](super::Client::connect_over_tls).
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: crate::Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Shows nodes this token, whose role decides what the client may do. Over plain text others can
    /// read it on its way.
    #[must_use]
    pub fn token(mut self, token: impl AsRef<str>) -> Self {
        self.token = Some(Token::Given(Secret::new(token.as_ref())));
        self
    }

    /// The same for the token in a file, which is read for each connection: it may change.
    #[must_use]
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.token = Some(Token::File(path.into()));
        self
    }

    /// What connects so.
    pub(crate) fn dialer(self) -> Result<Dialer, Error> {
        let token = match self.token {
            None => None,
            Some(Token::Given(token)) => {
                let token = token.map_err(|why| Error::rejected(format!("the token: {why}")))?;
                Some(ShownToken::Fixed(token))
            }
            Some(Token::File(path)) => {
                let token = ShownToken::File(path);
                token.read().map_err(Error::rejected)?;
                Some(token)
            }
        };
        let dialer = Dialer::default().with_token(token);
        #[cfg(feature = "tls")]
        let tls = self.tls.map(crate::tls::Secure::load).transpose();
        #[cfg(feature = "tls")]
        let dialer = dialer.with_tls(tls.map_err(Error::rejected)?);
        Ok(dialer)
    }
}
