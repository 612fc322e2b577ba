//! What a test cluster stands on: this machine's loopback, or a simulated network.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use crate::config::{Config, Seams};
use crate::net::Dialer;
use crate::testing::TestResult;
use crate::testing::faults::{Faults, Side};
use crate::testing::simulation::Network;

/// The port of all nodes of a simulated cluster; each has an address of its own.
const SIMULATED_PORT: u16 = 7_000;

/// Sockets, directories and faults of a cluster.
pub(super) enum Ground {
    Loopback {
        directory: tempfile::TempDir,
        ip: Ipv4Addr,
        faults: Faults,
    },
    Simulated(Network),
}

impl Ground {
    pub(super) fn loopback() -> TestResult<Self> {
        Ok(Ground::Loopback {
            directory: tempfile::tempdir()?,
            ip: own_loopback_address()?,
            faults: Faults::default(),
        })
    }

    /// Where nodes keep their data.
    pub(super) fn directory(&self) -> PathBuf {
        match self {
            Ground::Loopback { directory, .. } => directory.path().to_owned(),
            Ground::Simulated(_) => Path::new("/simulated").to_owned(),
        }
    }

    /// An address for one more node, and its socket where that is a real one.
    pub(super) fn address(&self, place: usize) -> TestResult<(SocketAddr, Option<TcpListener>)> {
        match self {
            Ground::Loopback { ip, .. } => {
                let listener = TcpListener::bind((*ip, 0))?;
                Ok((listener.local_addr()?, Some(listener)))
            }
            Ground::Simulated(_) => {
                let ip = Ipv4Addr::new(127, 0, 0, u8::try_from(place + 1)?);
                Ok((SocketAddr::new(IpAddr::V4(ip), SIMULATED_PORT), None))
            }
        }
    }

    /// The socket of an address that a node has had before.
    pub(super) fn bind(&self, address: SocketAddr) -> TestResult<Option<TcpListener>> {
        match self {
            Ground::Loopback { .. } => Ok(Some(TcpListener::bind(address)?)),
            Ground::Simulated(_) => Ok(None),
        }
    }

    /// Tells a node where it is.
    pub(super) fn place(
        &self,
        config: Config,
        address: SocketAddr,
        listener: Option<TcpListener>,
    ) -> Config {
        match listener {
            Some(listener) => config.listener(listener),
            None => config.ip(address.ip()).raft_port(address.port()),
        }
    }

    /// The seams of the node at this address.
    pub(super) fn seams(&self, address: &str) -> Seams {
        Seams {
            dialer: self.dialer(Side::Node, address),
            ..Seams::default()
        }
    }

    /// The way from an address to the nodes.
    pub(super) fn dialer(&self, side: Side, address: &str) -> Dialer {
        match self {
            Ground::Loopback { faults, .. } => Dialer::gated(faults.gate(side, address)),
            Ground::Simulated(network) => Dialer::on(network.at(address)),
        }
    }

    pub(super) fn cut(&self, from: &str, to: &str) {
        match self {
            Ground::Loopback { faults, .. } => faults.cut(from, to),
            Ground::Simulated(network) => network.cut(from, to),
        }
    }

    pub(super) fn heal(&self) {
        match self {
            Ground::Loopback { faults, .. } => faults.heal(),
            Ground::Simulated(network) => network.heal(),
        }
    }

    pub(super) fn break_connections(&self) {
        match self {
            Ground::Loopback { faults, .. } => faults.break_connections(),
            Ground::Simulated(network) => network.break_connections(),
        }
    }

    pub(super) fn lose_one_answer_in(&self, answers: u64) {
        match self {
            Ground::Loopback { faults, .. } => faults.lose_one_answer_in(answers),
            // The clients of a simulation lose answers by themselves.
            Ground::Simulated(_) => {}
        }
    }

    /// Breaks all connections of a node, where they do not end with it by themselves.
    pub(super) fn power_off(&self, address: &str) {
        match self {
            Ground::Loopback { .. } => {}
            Ground::Simulated(network) => network.power_off(address),
        }
    }
}

/// An address in 127/8 for one cluster, so that a port a stopped node gave up stays free for it.
fn own_loopback_address() -> TestResult<Ipv4Addr> {
    let [a, b, c, ..] = getrandom::u32()?.to_le_bytes();
    Ok(Ipv4Addr::new(127, a.clamp(1, 254), b, c.clamp(1, 254)))
}
