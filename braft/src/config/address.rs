//! Under which address a node is reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

use crate::discovery::{Host, PeerAddress, PeerSet};

/// What is known when the address is chosen.
pub(super) struct Choice<'a> {
    pub(super) ip: Option<IpAddr>,
    /// Names of interfaces, separated by commas; `*` stands for anything.
    pub(super) interface: Option<&'a str>,
    pub(super) port: u16,
    /// The static list, if there is one; empty if the peers are on other hosts and not known yet.
    pub(super) listed: Option<&'a PeerSet>,
    /// Whether there is none because a source finds nodes that may be on other hosts.
    pub(super) wide: bool,
}

/// The address for the others, and the IP to listen on.
pub(super) fn choose(choice: &Choice<'_>) -> Result<(PeerAddress, IpAddr), String> {
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    if let Some(ip) = choice.ip {
        return Ok((PeerAddress::new(Host::Ip(ip), choice.port), ip));
    }
    if let Some(patterns) = choice.interface {
        let ip = on_interface(patterns)?;
        return Ok((PeerAddress::new(Host::Ip(ip), choice.port), ip));
    }
    let listed = choice.listed.map(|set| &set.peers);
    // The others know this node by its place in the list: it has to call itself the same.
    let own = listed.and_then(|peers| {
        peers
            .iter()
            .find(|peer| peer.port() == choice.port && is_here(peer))
    });
    if let Some(own) = own {
        let ip = match own.host() {
            Host::Ip(ip) => *ip,
            Host::Name(name) if name == "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Host::Name(_) => any,
        };
        return Ok((own.clone(), ip));
    }
    let loopback = match listed {
        Some(peers) => peers.iter().all(is_loopback),
        None => !choice.wide,
    };
    if !loopback {
        let all = interfaces()?;
        let private = all.iter().map(|(_, ip)| *ip).filter(is_private);
        if let Some(ip) = private.min_by_key(IpAddr::is_ipv6) {
            let any = match ip {
                IpAddr::V4(_) => any,
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            };
            return Ok((PeerAddress::new(Host::Ip(ip), choice.port), any));
        }
        // Where there is no network, nodes can be found on this host only.
        if !choice.wide || all.iter().any(|(_, ip)| !ip.is_loopback()) {
            return Err("no private address was found on this host; set BRAFT_IP".to_owned());
        }
    }
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Ok((PeerAddress::new(Host::Ip(ip), choice.port), ip))
}

/// The addresses of the interfaces that are up, by name.
fn interfaces() -> Result<Vec<(String, IpAddr)>, String> {
    let all = if_addrs::get_if_addrs().map_err(|error| {
        format!("the network interfaces cannot be listed: {error}; set BRAFT_IP")
    })?;
    Ok(all
        .into_iter()
        .filter(if_addrs::Interface::is_oper_up)
        .map(|interface| (interface.name.clone(), interface.ip()))
        .collect())
}

fn on_interface(patterns: &str) -> Result<IpAddr, String> {
    let all = interfaces()?;
    let matching = all.iter().filter(|(name, _)| {
        patterns
            .split(',')
            .any(|pattern| matches(pattern.trim(), name))
    });
    let found = matching.map(|(_, ip)| *ip).min_by_key(IpAddr::is_ipv6);
    found.ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
        format!(
            "BRAFT_IF {patterns:?} matches no interface; there are {}",
            names.join(", ")
        )
    })
}

/// Whether a name fits a pattern in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((front, rest)) => name.strip_prefix(front).is_some_and(|name| {
            (0..=name.len()).any(|cut| name.is_char_boundary(cut) && matches(rest, &name[cut..]))
        }),
    }
}

fn is_loopback(peer: &PeerAddress) -> bool {
    match peer.host() {
        Host::Ip(ip) => ip.is_loopback(),
        Host::Name(name) => name == "localhost",
    }
}

/// Whether an address of the list is one of this host's.
fn is_here(peer: &PeerAddress) -> bool {
    if is_loopback(peer) {
        return true;
    }
    let own = interfaces().unwrap_or_default();
    let is_own = |ip: IpAddr| own.iter().any(|(_, other)| *other == ip);
    match peer.host() {
        Host::Ip(ip) => is_own(*ip),
        Host::Name(name) => {
            let named = host_name().is_some_and(|host| host.eq_ignore_ascii_case(name));
            let resolved = || (name.as_str(), peer.port()).to_socket_addrs();
            named || resolved().is_ok_and(|mut all| all.any(|address| is_own(address.ip())))
        }
    }
}

fn is_private(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

/// This host's name, if the system tells.
pub(crate) fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_patterns_take_wildcards() {
        assert!(matches("eth0", "eth0") && !matches("eth0", "eth01"));
        assert!(matches("eth*", "eth01") && matches("*", "lo") && matches("e*0", "eth0"));
        assert!(!matches("e*1", "eth0"));
    }

    #[test]
    fn a_node_calls_itself_what_the_list_calls_it() {
        let listed: PeerSet = PeerSet {
            peers: ["localhost:1".parse(), "localhost:2".parse()]
                .map(Result::unwrap)
                .into(),
            expect: Some(2),
        };
        let choice = Choice {
            ip: None,
            interface: None,
            port: 2,
            listed: Some(&listed),
            wide: false,
        };
        let (address, ip) = choose(&choice).unwrap();
        assert_eq!(address.to_string(), "localhost:2");
        assert!(ip.is_loopback());
    }

    #[test]
    fn a_node_whose_peers_may_be_on_other_hosts_is_not_reached_at_loopback() {
        let choice = Choice {
            ip: None,
            interface: None,
            port: 2,
            listed: None,
            wide: true,
        };
        let others = interfaces().expect("interfaces");
        let has_network = others.iter().any(|(_, ip)| !ip.is_loopback());
        match choose(&choice) {
            Ok((address, _)) => assert_eq!(is_loopback(&address), !has_network, "{address}"),
            Err(error) => assert!(has_network && error.contains("BRAFT_IP"), "{error}"),
        }
    }

    #[test]
    fn an_interface_that_is_not_there_is_named_with_those_that_are() {
        let error = on_interface("nothing*").unwrap_err();
        assert!(
            error.contains("nothing*") && error.contains("lo"),
            "{error}"
        );
    }
}
