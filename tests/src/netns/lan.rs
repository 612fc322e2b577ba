//! Hosts on one bridge, cut and healed.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Host;
use super::tool::run;

/// A hardware address that nobody has: what is sent there is lost on the way.
const NOWHERE: &str = "02:00:00:00:00:fe";

/// States of a bridge's port (IEEE 802.1D, section 8.4).
const DISABLED: u8 = 0;
const FORWARDING: u8 = 3;

/// Which addresses the hosts have. They have link-local ones in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Private IPv4 addresses.
    V4,
    /// Unique local IPv6 addresses.
    V6,
}

/// Hosts that are connected by a bridge. Each has the interface `eth0`.
///
/// The cuts lose what is sent and tell nobody, as a broken switch does: no interface goes down,
/// no send fails.
#[derive(Debug)]
pub struct Lan {
    hosts: Vec<Host>,
    /// Holds the bridge; dropped last.
    switch: Host,
    family: Family,
}

impl Lan {
    /// Builds it.
    ///
    /// # Errors
    /// What the system says; see [`why_not`](super::why_not) first.
    pub fn new(hosts: u8, family: Family) -> io::Result<Self> {
        let switch = Host::alone()?;
        // Without a querier of multicast groups, snooping would only get in the way.
        switch.set("link add br0 type bridge mcast_snooping 0")?;
        switch.set("link set br0 up")?;
        let mut lan = Lan {
            hosts: Vec::new(),
            switch,
            family,
        };
        for _ in 0..hosts {
            lan.add()?;
        }
        Ok(lan)
    }

    /// Connects one more host.
    ///
    /// # Errors
    /// What the system says.
    pub fn add(&mut self) -> io::Result<usize> {
        let index = self.hosts.len();
        let mut host = Host::alone()?;
        host.ip = self.address(index + 1);
        let (port, namespace) = (port(index), &host.namespace);
        self.switch.set(&format!(
            "link add {port} type veth peer name eth0 netns {namespace}"
        ))?;
        self.switch.set(&format!("link set {port} master br0 up"))?;
        host.set("link set eth0 up")?;
        host.set(&format!("addr add {} dev eth0", self.with_length(host.ip)))?;
        self.hosts.push(host);
        Ok(index)
    }

    fn address(&self, number: usize) -> IpAddr {
        let number = u8::try_from(number).expect("a lan has few hosts");
        match self.family {
            Family::V4 => Ipv4Addr::new(10, 77, 0, number).into(),
            Family::V6 => Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number.into()).into(),
        }
    }

    fn with_length(&self, ip: IpAddr) -> String {
        match self.family {
            Family::V4 => format!("{ip}/24"),
            // Without asking whether somebody has it: that takes a second.
            Family::V6 => format!("{ip}/64 nodad"),
        }
    }

    /// The hosts, in the order in which they were connected.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Gives a host another address, that of no other host so far.
    ///
    /// # Errors
    /// What the system says.
    pub fn move_host(&mut self, host: usize) -> io::Result<IpAddr> {
        let ip = self.address(100 + host);
        let moved = &self.hosts[host];
        moved.set(&format!("addr del {} dev eth0", self.with_length(moved.ip)))?;
        moved.set(&format!("addr add {} dev eth0", self.with_length(ip)))?;
        self.hosts[host].ip = ip;
        Ok(ip)
    }

    /// From now on nothing gets to or from a host.
    ///
    /// # Errors
    /// What the system says.
    pub fn cut(&self, host: usize) -> io::Result<()> {
        self.set_port(host, DISABLED)
    }

    /// Ends [`Lan::cut`].
    ///
    /// # Errors
    /// What the system says.
    pub fn heal(&self, host: usize) -> io::Result<()> {
        self.set_port(host, FORWARDING)
    }

    fn set_port(&self, host: usize, state: u8) -> io::Result<()> {
        let (switch, port) = (&self.switch.namespace, port(host));
        run(
            "bridge",
            &format!("-n {switch} link set dev {port} state {state}"),
        )
    }

    /// From now on what one host sends to another is lost; the other way works. Multicast passes.
    ///
    /// # Errors
    /// What the system says.
    pub fn cut_one_way(&self, from: usize, to: usize) -> io::Result<()> {
        let ip = self.hosts[to].ip;
        self.hosts[from].set(&format!(
            "neigh replace {ip} lladdr {NOWHERE} nud permanent dev eth0"
        ))
    }

    /// Ends [`Lan::cut_one_way`].
    ///
    /// # Errors
    /// What the system says.
    pub fn heal_one_way(&self, from: usize, to: usize) -> io::Result<()> {
        let ip = self.hosts[to].ip;
        self.hosts[from].set(&format!("neigh del {ip} dev eth0"))
    }
}

/// The bridge's end of the line to a host.
fn port(index: usize) -> String {
    format!("port{index}")
}
