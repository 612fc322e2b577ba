//! Records as anybody on the network may announce them, for tests that feed the reader anything.
//!
//! What was seen is a row of records: 1 for one that came or 0 for one that went, its name (length,
//! bytes), port (2), addresses (count; each 4 or 16, bytes), and its text (length in 2 bytes, bytes)
//! as it is on the wire.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mdns_sd::{ResolvedService, ServiceInfo};

use super::ServiceType;
use super::instances::Instances;
use crate::discovery::Announcement;

/// One record that came.
struct Record<'r> {
    name: &'r str,
    port: u16,
    addresses: &'r [&'r str],
    /// Strings of the text, with or without `=`.
    text: &'r [&'r [u8]],
}

const SOUND: Record<'_> = Record {
    name: "0000000000000002._braft._tcp.local.",
    port: 15_000,
    addresses: &["10.0.0.2", "fd00::7"],
    text: &[
        b"cluster=ours",
        b"node=0000000000000002",
        b"port=15000",
        b"version=0.1.0",
    ],
};

impl Record<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend([1, self.name.len() as u8]);
        out.extend(self.name.as_bytes());
        out.extend(self.port.to_be_bytes());
        out.push(self.addresses.len() as u8);
        for address in self.addresses {
            match address.parse().expect("an address") {
                IpAddr::V4(ip) => out.extend([&[4][..], &ip.octets()].concat()),
                IpAddr::V6(ip) => out.extend([&[16][..], &ip.octets()].concat()),
            }
        }
        let strings = self.text.iter();
        let text = strings.flat_map(|string| [&[string.len() as u8][..], *string].concat());
        let text: Vec<u8> = text.collect();
        out.extend((text.len() as u16).to_be_bytes());
        out.extend(text);
    }
}

/// One that is sound, and several of which some are not.
pub(crate) fn records() -> Vec<Vec<u8>> {
    let row = |records: &[Record<'_>]| {
        let mut row = Vec::new();
        records.iter().for_each(|record| record.write(&mut row));
        row
    };
    let gone = [&[0, SOUND.name.len() as u8][..], SOUND.name.as_bytes()].concat();
    let many: Vec<String> = (0..300).map(|number| format!("{number}.local.")).collect();
    let many = many.iter().map(|name| Record { name, ..SOUND });
    Vec::from([
        row(&[SOUND]),
        [row(&[SOUND]), gone].concat(),
        row(&[
            Record {
                text: &[b"cluster=\xff\xfe", b"node", b"=", b"port=15000", b"PORT=1"],
                ..SOUND
            },
            Record {
                text: &[
                    b"cluster=theirs",
                    b"cluster=ours",
                    b"node=0000000000000003",
                    b"port=1",
                ],
                port: 1,
                ..SOUND
            },
            Record {
                name: "a line\nof another\u{1b}[31m",
                port: 0,
                addresses: &["::", "ff02::1", "fe80::1", "::ffff:127.0.0.1", "8.8.8.8"],
                text: &[],
            },
            SOUND,
        ]),
        row(&many.collect::<Vec<_>>()),
    ])
}

/// Takes a row of records in; whether a peer was among them.
pub(crate) fn read(bytes: &[u8]) -> bool {
    let mut instances = Instances::new(Announcement {
        cluster_name: "ours".to_owned(),
        node_id: 1,
        address: "10.0.0.1:15000".parse().expect("an address"),
    });
    let (mut rest, mut is_sound) = (bytes, false);
    while let Some(came) = byte(&mut rest) {
        let length = byte(&mut rest).unwrap_or_default();
        let name = String::from_utf8_lossy(take(&mut rest, length.into())).into_owned();
        if came == 0 {
            instances.removed(&name);
        } else {
            let record = record(name, &mut rest);
            is_sound |= instances.resolved(&record) && !instances.peers().is_empty();
        }
        instances.assert_bounds();
    }
    is_sound
}

/// As the library makes one of what it has heard.
fn record(name: String, rest: &mut &[u8]) -> ResolvedService {
    let domain = ServiceType::default().domain();
    let blank = ServiceInfo::new(&domain, "", "", (), 0, None);
    let mut record = blank.expect("a blank record").as_resolved_service();
    record.host.clone_from(&name);
    record.fullname = name;
    record.port = number(rest);
    for _ in 0..byte(rest).unwrap_or_default() {
        let address = match byte(rest) {
            None => break,
            Some(4) => IpAddr::V4(Ipv4Addr::from(filled::<4>(rest))),
            Some(_) => IpAddr::V6(Ipv6Addr::from(filled::<16>(rest))),
        };
        record.addresses.insert(address.into());
    }
    let length = number(rest);
    record.txt_properties = take(rest, length.into()).into();
    record
}

/// So many bytes, or what is left.
fn take<'b>(rest: &mut &'b [u8], count: usize) -> &'b [u8] {
    let (taken, after) = rest.split_at(count.min(rest.len()));
    *rest = after;
    taken
}

/// So many bytes; what is missing is 0.
fn filled<const COUNT: usize>(rest: &mut &[u8]) -> [u8; COUNT] {
    let taken = take(rest, COUNT);
    let mut bytes = [0; COUNT];
    bytes[..taken.len()].copy_from_slice(taken);
    bytes
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    take(rest, 1).first().copied()
}

fn number(rest: &mut &[u8]) -> u16 {
    u16::from_be_bytes(filled(rest))
}
