//! A switch in user space: every frame between two hosts passes through it, and may be lost, late, or
//! cut off in one direction.
//!
//! The hosts wrap their frames in VXLAN (RFC 7348), so that the switch is a UDP socket.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::frame;
use crate::Chance;

/// The port of VXLAN.
pub(super) const PORT: u16 = 4789;
/// Larger than any datagram.
const DATAGRAM_BYTES: usize = 64 << 10;
/// How often the switch looks whether it is to end, and what is due.
const LOOK_EVERY: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_millis(20);
/// Frames that wait at most; what comes on top is lost, as on a real line.
const MAX_WAITING: usize = 20_000;

/// What happens to what one host sends to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// All of it is lost.
    pub cut: bool,
    /// Of a hundred frames so many are lost.
    pub lose_percent: u8,
    /// How late a frame is at least.
    pub delay: Duration,
    /// How much later it is at most. Frames stay in their order.
    pub jitter: Duration,
}

/// What the threads share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    paths: Mutex<BTreeMap<(usize, usize), Path>>,
    pub(super) stop: AtomicBool,
    pub(super) lost: AtomicU64,
    pub(super) late: AtomicU64,
}

impl Shared {
    pub(super) fn paths(&self) -> MutexGuard<'_, BTreeMap<(usize, usize), Path>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A frame that waits for its time.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Late {
    due: Instant,
    /// Keeps frames of one moment in order.
    number: u64,
    to: usize,
    datagram: Vec<u8>,
}

/// The switch at work.
pub(super) struct Switch<'a> {
    socket: UdpSocket,
    hosts: usize,
    shared: &'a Shared,
    chance: Chance,
    waiting: BinaryHeap<Reverse<Late>>,
    /// When the last frame of a path is due: the next one is not before it.
    last_due: BTreeMap<(usize, usize), Instant>,
    frames: u64,
}

impl<'a> Switch<'a> {
    pub(super) fn new(socket: UdpSocket, hosts: usize, shared: &'a Shared, seed: u64) -> Self {
        Switch {
            socket,
            hosts,
            shared,
            chance: Chance::of(seed),
            waiting: BinaryHeap::new(),
            last_due: BTreeMap::new(),
            frames: 0,
        }
    }

    /// Passes frames on until it is told to stop.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut datagram = vec![0; DATAGRAM_BYTES];
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.send_due();
            let pause = if self.waiting.is_empty() {
                IDLE
            } else {
                LOOK_EVERY
            };
            self.socket.set_read_timeout(Some(pause))?;
            match self.socket.recv_from(&mut datagram) {
                Ok((length, from)) => self.pass(&mut datagram[..length], from),
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn pass(&mut self, datagram: &mut [u8], from: SocketAddr) {
        let Some(from) = host_at(from).filter(|from| *from < self.hosts) else {
            return;
        };
        let Some(receiver) = frame::receiver(datagram) else {
            return;
        };
        // Between namespaces the kernel leaves sums to hardware that is not there.
        frame::complete_checksum(datagram);
        match receiver {
            frame::Receiver::Host(to) if to < self.hosts && to != from => {
                self.forward(from, to, datagram);
            }
            frame::Receiver::Host(_) => {}
            frame::Receiver::All => {
                for to in (0..self.hosts).filter(|to| *to != from) {
                    self.forward(from, to, datagram);
                }
            }
        }
    }

    fn forward(&mut self, from: usize, to: usize, datagram: &[u8]) {
        let path = self.shared.paths().get(&(from, to)).copied();
        let path = path.unwrap_or_default();
        if path.cut || self.chance.below(100) < path.lose_percent.into() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let now = Instant::now();
        let jitter_us = u64::try_from(path.jitter.as_micros()).unwrap_or(u64::MAX - 1);
        let jitter = Duration::from_micros(self.chance.below(jitter_us + 1));
        let last = self.last_due.get(&(from, to)).copied();
        let due = last
            .map_or(now, |last| last.max(now))
            .max(now + path.delay + jitter);
        if due <= now {
            self.send(to, datagram);
            return;
        }
        if self.waiting.len() >= MAX_WAITING {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.shared.late.fetch_add(1, Ordering::Relaxed);
        self.last_due.insert((from, to), due);
        self.frames += 1;
        self.waiting.push(Reverse(Late {
            due,
            number: self.frames,
            to,
            datagram: datagram.to_vec(),
        }));
    }

    fn send_due(&mut self) {
        while let Some(Reverse(late)) = self.waiting.peek()
            && late.due <= Instant::now()
        {
            if let Some(Reverse(late)) = self.waiting.pop() {
                self.send(late.to, &late.datagram);
            }
        }
    }

    fn send(&self, to: usize, datagram: &[u8]) {
        // A host that is gone, or a full queue: lost on the way.
        drop(self.socket.send_to(datagram, (underlay(to), PORT)));
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock
            | io::ErrorKind::TimedOut
            | io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionRefused
    )
}

/// The address under which the switch reaches a host; no program of the host knows of it.
pub(super) fn underlay(host: usize) -> Ipv4Addr {
    let number = u8::try_from(host + 1).expect("a switch has few hosts");
    Ipv4Addr::new(10, 78, 0, number)
}

fn host_at(address: SocketAddr) -> Option<usize> {
    let SocketAddr::V4(address) = address else {
        return None;
    };
    let number = SocketAddrV4::ip(&address).octets()[3];
    usize::from(number).checked_sub(1)
}
