//! Hosts on a switch in user space.

use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use super::Host;
use super::frame::hardware;
use super::switch::{PORT, Path, Shared, Switch, underlay};

/// The address of the switch, where the hosts send what they have wrapped.
const SWITCH: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 254);

/// Hosts whose frames pass through a switch of this process, which may lose, delay and cut them, each
/// direction for itself. Nobody is told: no interface goes down, no send fails.
#[derive(Debug)]
pub struct Switched {
    hosts: Vec<Host>,
    shared: Arc<Shared>,
    at_work: Option<JoinHandle<io::Result<()>>>,
    /// Holds the lines; dropped last.
    _underlay: Host,
}

impl Switched {
    /// Builds it. The seed decides which frames are lost, and how late they are.
    ///
    /// # Errors
    /// What the system says; see [`why_not`](super::why_not) first.
    pub fn new(hosts: usize, seed: u64) -> io::Result<Self> {
        let below = Host::alone()?;
        below.set("link add br0 type bridge mcast_snooping 0")?;
        below.set(&format!("addr add {SWITCH}/24 dev br0"))?;
        below.set("link set br0 up")?;
        let mut all = Vec::new();
        for number in 0..hosts {
            all.push(host(&below, number)?);
        }
        let socket = below.enter(|| UdpSocket::bind((SWITCH, PORT)))?;
        let shared = Arc::new(Shared::default());
        let at_work = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || Switch::new(socket, hosts, &shared, seed).run()
        });
        Ok(Switched {
            hosts: all,
            shared,
            at_work: Some(at_work),
            _underlay: below,
        })
    }

    /// The hosts.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// What happens from now on to what one host sends to another.
    pub fn set(&self, from: usize, to: usize, path: Path) {
        self.shared.paths().insert((from, to), path);
    }

    /// What happens to what one host sends to another.
    pub fn path(&self, from: usize, to: usize) -> Path {
        let path = self.shared.paths().get(&(from, to)).copied();
        path.unwrap_or_default()
    }

    /// How many frames were lost, and how many late, so far.
    pub fn harmed(&self) -> (u64, u64) {
        let [lost, late] = [&self.shared.lost, &self.shared.late];
        (lost.load(Ordering::Relaxed), late.load(Ordering::Relaxed))
    }

    /// Ends the connections of a host that lead to this port: both sides are told.
    ///
    /// # Errors
    /// What the system says; not all kernels can do it.
    pub fn reset_connections(&self, host: usize, port: u16) -> io::Result<()> {
        let mut command = self.hosts[host].command("ss");
        let output = command
            .args(["-K", "dport", "=", &port.to_string()])
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(io::Error::other(format!("ss -K: {words}")))
    }
}

fn host(below: &Host, number: usize) -> io::Result<Host> {
    let mut host = Host::alone()?;
    let (port, namespace) = (format!("port{number}"), &host.namespace);
    below.set(&format!(
        "link add {port} type veth peer name line0 netns {namespace}"
    ))?;
    below.set(&format!("link set {port} master br0 up"))?;
    host.set("link set line0 up")?;
    host.set(&format!("addr add {}/24 dev line0", underlay(number)))?;
    // One segment at a time: the switch takes whole frames, no trains of them.
    host.set(&format!(
        "link add eth0 address {} gso_max_segs 1 type vxlan id 42 remote {SWITCH} dstport {PORT} \
         nolearning",
        hardware(number)
    ))?;
    let last = u8::try_from(number + 1).map_err(io::Error::other)?;
    host.ip = IpAddr::from([10, 77, 0, last]);
    host.set(&format!("addr add {}/24 dev eth0", host.ip))?;
    host.set("link set eth0 up")?;
    Ok(host)
}

impl Drop for Switched {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(at_work) = self.at_work.take() {
            // It has nothing to say any more.
            drop(at_work.join());
        }
    }
}
