//! The join token, and how it is proven.
//!
//! Both sides of a connection choose a number at random, and each shows the HMAC-SHA256, under the token,
//! of both numbers and of what the connection is bound to. So the token itself is never sent, what was
//! said once is of no use another time, and what is said on one connection is of no use on another.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::news::News;
use super::secret::Secret;
use super::watched::Watched;

/// Tokens accepted at once: an old and a new one, and some more.
const MAX_TOKENS: usize = 8;
pub(super) const NONCE_BYTES: usize = 32;
pub(super) const PROOF_BYTES: usize = 32;
/// An IPv6 address and a port.
pub(super) const PLACE_BYTES: usize = 18;

/// What the members of a cluster know, and nobody else. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct JoinToken(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Source,
    /// What was said of connections that came to nothing.
    news: News,
}

#[derive(Debug)]
enum Source {
    Fixed(Arc<Keys>),
    File(Watched<Keys>),
}

/// The first is shown, all are accepted.
#[derive(Debug)]
pub(super) struct Keys(Vec<Secret>);

impl JoinToken {
    /// From a text: tokens with spaces or line breaks between them.
    pub(crate) fn of_text(text: &str) -> Result<Self, String> {
        let keys = Arc::new(Keys::read(text, None)?);
        Ok(Self::of(Source::Fixed(keys)))
    }

    /// From a file, which is read again once it changes.
    pub(crate) fn of_file(path: &Path) -> Result<Self, String> {
        Watched::load(path, Keys::read).map(|file| Self::of(Source::File(file)))
    }

    fn of(source: Source) -> Self {
        JoinToken(Arc::new(Inner {
            source,
            news: News::default(),
        }))
    }

    pub(super) fn keys(&self) -> Arc<Keys> {
        match &self.0.source {
            Source::Fixed(keys) => keys.clone(),
            Source::File(file) => file.now(),
        }
    }

    /// Says in the log why a connection came to nothing, unless that was just said.
    pub(crate) fn complain(&self, text: &str) {
        if self.0.news.is_new(text) {
            tracing::error!("{text}");
        }
    }
}

impl Keys {
    pub(super) fn read(text: &str, _: Option<&Self>) -> Result<Self, String> {
        let keys: Vec<_> = text
            .split_whitespace()
            .map(Secret::new)
            .collect::<Result<_, _>>()?;
        match keys.len() {
            0 => Err("there is no join token in it".to_owned()),
            1..=MAX_TOKENS => Ok(Keys(keys)),
            more => Err(format!(
                "{more} join tokens are too many: {MAX_TOKENS} are accepted at once"
            )),
        }
    }

    /// The token that is shown to others.
    pub(super) fn first(&self) -> &Secret {
        &self.0[0]
    }

    /// The token that a proof was made with, if it is one of these.
    pub(super) fn proven(&self, side: Side, talk: &Talk, proof: &[u8]) -> Option<&Secret> {
        let mut keys = self.0.iter();
        // Compared in constant time.
        keys.find(|key| mac(key, side, talk).verify_slice(proof).is_ok())
    }
}

/// What a proof holds for: this connection and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    /// What only the two ends of a TLS connection can compute.
    Secured([u8; 32]),
    /// In plain text: where the accepting side is reached. Whoever passes the connection on is reached
    /// elsewhere.
    Place(SocketAddr),
    /// A connection in memory.
    #[cfg(test)]
    Nothing,
}

impl Binding {
    /// The place in the form in which it is sent; zeros over TLS.
    pub(super) fn place(&self) -> [u8; PLACE_BYTES] {
        let mut place = [0; PLACE_BYTES];
        if let Binding::Place(address) = self {
            let ip = match address.ip().to_canonical() {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            };
            place[..16].copy_from_slice(&ip.octets());
            place[16..].copy_from_slice(&address.port().to_be_bytes());
        }
        place
    }
}

/// Which side a proof is of: neither is worth anything as the other's.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Dialer,
    Listener,
}

/// What both sides have said.
pub(super) struct Talk {
    pub(super) dialer: [u8; NONCE_BYTES],
    pub(super) listener: [u8; NONCE_BYTES],
    pub(super) binding: Binding,
}

pub(super) fn prove(key: &Secret, side: Side, talk: &Talk) -> [u8; PROOF_BYTES] {
    mac(key, side, talk).finalize().into_bytes().into()
}

fn mac(key: &Secret, side: Side, talk: &Talk) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key.text().as_bytes())
        .expect("a key may have any length");
    mac.update(match side {
        Side::Dialer => b"braft join 1 dialer  ",
        Side::Listener => b"braft join 1 listener",
    });
    mac.update(&talk.dialer);
    mac.update(&talk.listener);
    match &talk.binding {
        Binding::Secured(exported) => {
            mac.update(b"secured");
            mac.update(exported);
        }
        Binding::Place(_) => {
            mac.update(b"place");
            mac.update(&talk.binding.place());
        }
        #[cfg(test)]
        Binding::Nothing => {}
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(listener: u8, binding: Binding) -> Talk {
        Talk {
            dialer: [1; NONCE_BYTES],
            listener: [listener; NONCE_BYTES],
            binding,
        }
    }

    #[test]
    fn a_proof_is_good_for_its_side_its_numbers_and_its_connection_alone() {
        let keys = Keys::read("first-secret-of-all another-secret-of-all", None).expect("two");
        let place = |text: &str| Binding::Place(text.parse().expect("an address"));
        let here = place("10.0.0.1:15000");
        let proof = prove(keys.first(), Side::Dialer, &talk(2, here));
        let holds = |side, talk: Talk| keys.proven(side, &talk, &proof).is_some();
        assert!(holds(Side::Dialer, talk(2, here)));
        assert!(holds(
            Side::Dialer,
            talk(2, place("[::ffff:10.0.0.1]:15000"))
        ));
        assert!(!holds(Side::Listener, talk(2, here)));
        assert!(!holds(Side::Dialer, talk(3, here)));
        assert!(!holds(Side::Dialer, talk(2, place("10.0.0.2:15000"))));
        assert!(!holds(Side::Dialer, talk(2, Binding::Secured([0; 32]))));
        assert!(
            keys.proven(Side::Dialer, &talk(2, here), &proof[..31])
                .is_none()
        );
        // All tokens are accepted, the first is shown.
        let second = prove(&keys.0[1], Side::Dialer, &talk(2, here));
        let found = keys.proven(Side::Dialer, &talk(2, here), &second);
        assert_eq!(found, Some(&keys.0[1]));
    }

    #[test]
    fn tokens_that_cannot_be_used_are_refused_without_being_told() {
        for wrong in ["", " \n", "short", "long-enough-a-token short"] {
            let why = Keys::read(wrong, None).expect_err("it is wrong");
            assert!(!why.contains("short"), "{why}");
        }
        let many = "long-enough-a-token ".repeat(MAX_TOKENS + 1);
        Keys::read(&many, None).expect_err("too many");
    }
}
