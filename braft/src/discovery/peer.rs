//! The address at which a peer may be contacted.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// Longest host name DNS can carry (RFC 1035, section 2.3.4), without the final dot.
const MAX_HOST_NAME: usize = 253;

/// A host and a port, not yet resolved.
///
/// Written `host:15000`, `10.0.0.1:15000` or `[::1]:15000`. Names are kept in lower case, so that
/// two spellings of one name are one address. Names are resolved at each contact, never stored
/// resolved: a pod that comes back under its name has another address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PeerAddress {
    host: Host,
    port: u16,
}

/// The host part of a [`PeerAddress`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// An address that needs no resolving.
    Ip(IpAddr),
    /// A name to be resolved, in lower case.
    Name(String),
}

/// Why a text is not a [`PeerAddress`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPeerAddress {
    /// Nothing stands before the port.
    #[error("the host is missing: write host:port")]
    MissingHost,
    /// No port, where one is required.
    #[error("the port is missing: write host:port, an IPv6 address as [::1]:15000")]
    MissingPort,
    /// The port is not a number from 1 to 65535.
    #[error("port {0:?} is not a number from 1 to 65535")]
    Port(String),
    /// The host is neither a name nor an address.
    #[error("host {0:?} is neither a host name, an IPv4 address nor an IPv6 address")]
    Host(String),
    /// An opening bracket without its counterpart, or brackets around something else.
    #[error("{0:?} is not an IPv6 address in brackets: write [::1]:15000")]
    Brackets(String),
}

impl PeerAddress {
    /// Joins a host and a port.
    pub fn new(host: Host, port: u16) -> Self {
        Self { host, port }
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same host at another port.
    pub fn with_port(&self, port: u16) -> Self {
        Self {
            host: self.host.clone(),
            port,
        }
    }

    /// Looks the host up; the answer is for this contact only.
    ///
    /// # Errors
    /// The resolver's own, or `NotFound` when it knows the name but no address.
    pub async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let found: Vec<SocketAddr> = match &self.host {
            Host::Ip(ip) => vec![SocketAddr::new(*ip, self.port)],
            Host::Name(name) => tokio::net::lookup_host((name.as_str(), self.port))
                .await?
                .collect(),
        };
        if found.is_empty() {
            let message = format!("host name of {self} has no address");
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        Ok(found)
    }

    /// Reads an address whose port may be left out.
    ///
    /// `host`, `host:port`, an IPv4 address with or without port, a bare IPv6 address (without
    /// port) or one in brackets (with or without).
    ///
    /// # Errors
    /// See [`InvalidPeerAddress`].
    pub fn parse_with_default_port(text: &str, port: u16) -> Result<Self, InvalidPeerAddress> {
        let (host, given) = split(text)?;
        Ok(Self {
            host,
            port: given.unwrap_or(port),
        })
    }
}

/// Splits into host and port; a bare IPv6 address has no port, because none could be told apart.
fn split(text: &str) -> Result<(Host, Option<u16>), InvalidPeerAddress> {
    if let Ok(ip) = text.parse::<Ipv6Addr>() {
        return Ok((Host::Ip(ip.into()), None));
    }
    if let Some(rest) = text.strip_prefix('[') {
        let brackets = || InvalidPeerAddress::Brackets(text.to_owned());
        let (inner, after) = rest.split_once(']').ok_or_else(brackets)?;
        let ip = inner.parse::<Ipv6Addr>().map_err(|_| brackets())?;
        let port = match after.strip_prefix(':') {
            Some(port) => Some(parse_port(port)?),
            None if after.is_empty() => None,
            None => return Err(brackets()),
        };
        return Ok((Host::Ip(ip.into()), port));
    }
    match text.split_once(':') {
        // More colons without brackets: an IPv6 address with a slip in it, not a port.
        Some((_, port)) if port.contains(':') => Err(InvalidPeerAddress::Host(text.to_owned())),
        Some((host, port)) => Ok((host.parse()?, Some(parse_port(port)?))),
        None => Ok((text.parse()?, None)),
    }
}

/// Reads a port; zero is refused, because nobody can be contacted there.
pub(super) fn parse_port(text: &str) -> Result<u16, InvalidPeerAddress> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits && port != 0 => Ok(port),
        _ => Err(InvalidPeerAddress::Port(text.to_owned())),
    }
}

impl FromStr for Host {
    type Err = InvalidPeerAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(InvalidPeerAddress::MissingHost);
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Ip(ip));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        // A text of digits and dots is an IPv4 address with a slip in it; as a name it would send
        // the user to the resolver's error instead of the mistake.
        let like_ipv4 = name
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        if like_ipv4 || name.len() > MAX_HOST_NAME || !name.split('.').all(is_label) {
            return Err(InvalidPeerAddress::Host(text.to_owned()));
        }
        Ok(Self::Name(name))
    }
}

/// A label of a host name; the underscore is not in RFC 952, but container names carry it.
fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=63).contains(&label.len())
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl FromStr for PeerAddress {
    type Err = InvalidPeerAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = split(text)?;
        let port = port.ok_or(InvalidPeerAddress::MissingPort)?;
        Ok(Self { host, port })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl From<SocketAddr> for PeerAddress {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: Host::Ip(address.ip()),
            port: address.port(),
        }
    }
}

impl From<Ipv4Addr> for Host {
    fn from(ip: Ipv4Addr) -> Self {
        Self::Ip(ip.into())
    }
}

impl From<Ipv6Addr> for Host {
    fn from(ip: Ipv6Addr) -> Self {
        Self::Ip(ip.into())
    }
}

impl TryFrom<String> for PeerAddress {
    type Error = InvalidPeerAddress;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PeerAddress> for String {
    fn from(address: PeerAddress) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes() {
        for text in [
            "host:1",
            "a.b-c.d_e:65535",
            "10.0.0.1:15000",
            "[::1]:15000",
            "[fe80::2]:7",
        ] {
            let address: PeerAddress = text.parse().expect("a well-formed address");
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn spellings_of_one_name_are_one_address() {
        let one: PeerAddress = "Node-A.Example.:15000".parse().expect("a name");
        assert_eq!(one.to_string(), "node-a.example:15000");
    }

    #[test]
    fn default_port_fills_only_a_missing_one() {
        for (text, written) in [
            ("host", "host:9"),
            ("host:1", "host:1"),
            ("::1", "[::1]:9"),
            ("[::1]", "[::1]:9"),
            ("[::1]:2", "[::1]:2"),
            ("10.0.0.1", "10.0.0.1:9"),
        ] {
            let address = PeerAddress::parse_with_default_port(text, 9).expect(text);
            assert_eq!(address.to_string(), written);
        }
    }

    #[test]
    fn slips_are_refused() {
        for text in [
            "",
            ":1",
            "host",
            "host:",
            "host:0",
            "host:65536",
            "host:+1",
            "host:x",
            "[::1]",
            "[::1:15000",
            "[host]:1",
            "[::1]x:1",
            "::g:1",
            "10.0.0.300:1",
            "1.2.3:4",
            "a b:1",
            "a..b:1",
            "-a:1",
            "http://a:1",
            "a/b:1",
        ] {
            assert!(
                text.parse::<PeerAddress>().is_err(),
                "{text:?} was accepted"
            );
        }
        let long = format!("{}:1", "a.".repeat(127) + "a");
        assert!(long.parse::<PeerAddress>().is_err());
    }

    #[tokio::test]
    async fn an_ip_address_resolves_to_itself() {
        let address: PeerAddress = "[::1]:15000".parse().expect("an address");
        let found = address.resolve().await.expect("no lookup is needed");
        assert_eq!(found, ["[::1]:15000".parse().expect("a socket address")]);
    }
}
