//! Which name is looked up, and for what.

use std::fmt;

use crate::discovery::{Host, InvalidPeerAddress, PeerAddress};

/// A name in the domain name system that stands for all nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsName {
    /// Its addresses (A, AAAA) are those of the nodes, which share a port.
    Host(PeerAddress),
    /// Its service records (SRV, RFC 2782) give a host and a port for each node: a name such as
    /// `_braft._tcp.example.org`.
    Srv(String),
}

/// Why a text names nothing to look up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDnsName {
    /// It is no name of a host, with or without a port.
    #[error("{0}")]
    Host(#[from] InvalidPeerAddress),
    /// An address needs no lookup.
    #[error("{0} is an address, not a name: list it without dns:")]
    Address(String),
    /// A name of a service with a port.
    #[error("{0:?} has a port, but service records bring their own: leave it out")]
    SrvPort(String),
    /// Not the name of a service.
    #[error("{0:?} is not the name of a service: write _name._tcp.domain")]
    Srv(String),
}

impl DnsName {
    /// Reads `name`, `name:port` or `_service._tcp.name`; `port` is for the first.
    ///
    /// # Errors
    /// See [`InvalidDnsName`].
    pub fn parse(text: &str, port: u16) -> Result<Self, InvalidDnsName> {
        let mut labels = text.split('.');
        let first = labels.next().unwrap_or_default();
        if !first.starts_with('_') || !first.is_ascii() {
            return Self::host(text, port);
        }
        // A name of a host may begin with an underscore, too.
        if !labels.next().is_some_and(is_protocol) {
            return Self::host(text, port);
        }
        let domain: Vec<_> = labels.collect();
        let domain = domain.join(".");
        if domain.contains(':') {
            return Err(InvalidDnsName::SrvPort(text.to_owned()));
        }
        match domain.parse() {
            Ok(Host::Name(domain)) => {
                let service = first.to_ascii_lowercase();
                Ok(Self::Srv(format!("{service}._tcp.{domain}.")))
            }
            _ => Err(InvalidDnsName::Srv(text.to_owned())),
        }
    }

    fn host(text: &str, port: u16) -> Result<Self, InvalidDnsName> {
        let name = PeerAddress::parse_with_default_port(text, port)?;
        match name.host() {
            Host::Ip(_) => Err(InvalidDnsName::Address(name.to_string())),
            Host::Name(_) => Ok(Self::Host(name)),
        }
    }
}

fn is_protocol(label: &str) -> bool {
    label.eq_ignore_ascii_case("_tcp")
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => name.fmt(f),
            Self::Srv(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts_and_of_services_are_told_apart() {
        for (text, written) in [
            ("nodes.example", "nodes.example:9"),
            ("nodes:1", "nodes:1"),
            ("_nodes", "_nodes:9"),
            ("_nodes.example:1", "_nodes.example:1"),
            ("_Braft._tcp.Example.", "_braft._tcp.example."),
        ] {
            let name = DnsName::parse(text, 9).expect(text);
            assert_eq!(name.to_string(), written);
            let service = matches!(name, DnsName::Srv(_));
            assert_eq!(service, text.contains("_tcp"));
        }
    }

    #[test]
    fn slips_are_refused_with_what_to_write() {
        for (text, part) in [
            ("", "host is missing"),
            ("10.0.0.1", "without dns:"),
            ("a:x", "from 1 to 65535"),
            ("_braft._tcp.a:1", "bring their own"),
            ("_braft._tcp", "_name._tcp.domain"),
            ("_braft._tcp.a..b", "_name._tcp.domain"),
        ] {
            let error = DnsName::parse(text, 9).expect_err(text).to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
